"""Picks the version of a language to build with, from those that can be had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from devflow.core.errors import StepFailed
from devflow.features.deployments.rules.detect.versions import is_range, normal, number, satisfies

LANGUAGES = {"python": "Python", "node": "Node", "go": "Go", "php": "PHP", "ruby": "Ruby"}
_IMAGES = {
    "python": "python:{}-slim",
    "node": "node:{}-slim",
    "go": "golang:{}",
    "php": "php:{}-cli",
    "ruby": "ruby:{}-slim",
}


def image(runtime: str, version: str) -> str:
    """The base image of a language: `python:3.13-slim`."""
    return _IMAGES[runtime].format(version)


@dataclass(frozen=True)
class Choice:
    """A version, and the sentence that explains it in the build log."""

    version: str
    reason: str


@dataclass(frozen=True)
class Runtimes:
    """The versions that can be had of python, node, go, php and ruby."""

    versions: Mapping[str, tuple[str, ...]]

    def choose(self, runtime: str, wanted: str | None, source: str = "The project") -> Choice:
        """The nearest version to the one wanted by `source` (a file); raises `StepFailed` when there is none at all."""
        name = LANGUAGES[runtime]
        have = sorted(self.versions.get(runtime, ()), key=number, reverse=True)
        if not have:
            raise StepFailed(
                f"No {name} base image can be had on this server.",
                cause="image_not_found",
                hint=f"Ask an administrator to run `devflow images build` for {name}, or add a Dockerfile.",
            )
        wish = normal(wanted)
        if not wish:
            return Choice(have[0], f"The project asks for no particular {name}; {have[0]} is the newest here.")
        asks = f"{source} asks for {(wanted or '').strip()}"
        fitting = [version for version in have if satisfies(version, wish)]
        if fitting:
            detail = (
                f"the newest that fits is {name} {fitting[0]}" if is_range(wish) else f"{name} {fitting[0]} is used"
            )
            return Choice(fitting[0], f"{asks}; {detail}.")
        newer = [version for version in have if number(version) > number(wish)]
        nearest = newer[-1] if newer else have[0]
        return Choice(nearest, f"{asks}, which is not here; {nearest} is the nearest.")
