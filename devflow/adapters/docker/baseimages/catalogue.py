"""The table of base images that DevFlow can make from the distribution's packages, and what a name leads to. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DOCKERFILES = Path(__file__).parent / "dockerfiles"


@dataclass(frozen=True)
class Recipe:
    """How one image is made: from a `suite` of the distribution, or by a Dockerfile on top of `parent`."""

    reference: str
    summary: str
    runtime: str = ""
    suite: str = ""
    parent: str = ""
    dockerfile: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    folder: Path = DOCKERFILES

    @property
    def repository(self) -> str:
        return self.reference.partition(":")[0]

    @property
    def tag(self) -> str:
        return self.reference.partition(":")[2]

    @property
    def version(self) -> str:
        return self.tag.partition("-")[0]

    @property
    def variant(self) -> str:
        return self.tag.partition("-")[2]


@dataclass(frozen=True)
class Resolution:
    """The recipe a reference leads to; `note` says in what the result differs from what was asked for."""

    recipe: Recipe
    note: str


def _python(version: str, parent: str) -> tuple[Recipe, Recipe]:
    slim = f"python:{version}-slim"
    packages = "build-essential python3-dev libffi-dev libssl-dev libpq-dev git curl"
    return (
        Recipe(slim, f"Python {version} with pip and venv", "python", "", parent, "python", {"VERSION": version}),
        Recipe(
            f"python:{version}", "the same with a compiler and git", "python", "", slim, "full", {"PACKAGES": packages}
        ),
    )


def _node(version: str, npm: str) -> tuple[Recipe, Recipe]:
    slim = f"node:{version}-slim"
    args = {"VERSION": version, "NPM": npm}
    packages = "build-essential python3 git curl"
    return (
        Recipe(slim, f"Node {version} with npm, yarn and pnpm", "node", "", "debian:13-slim", "node", args),
        Recipe(f"node:{version}", "the same with a compiler and git", "node", "", slim, "full", {"PACKAGES": packages}),
    )


def _on_debian(reference: str, summary: str, dockerfile: str, runtime: str = "") -> Recipe:
    version = reference.partition(":")[2].partition("-")[0]
    return Recipe(reference, summary, runtime, "", "debian:13-slim", dockerfile, {"VERSION": version})


_ALL = (
    Recipe("debian:13-slim", "Debian 13 (trixie)", suite="trixie"),
    Recipe("debian:12-slim", "Debian 12 (bookworm)", suite="bookworm"),
    *_python("3.13", "debian:13-slim"),
    *_node("24", "11"),
    *_node("22", "10"),
    *_node("20", "10"),
    Recipe(
        "golang:1.24", "Go 1.24 with a C compiler and git", "go", "", "debian:13-slim", "golang", {"VERSION": "1.24"}
    ),
    Recipe("php:8.4-cli", "PHP 8.4 with Composer", "php", "", "debian:13-slim", "php", {"VERSION": "8.4"}),
    Recipe(
        "ruby:3.3", "Ruby 3.3 with Bundler and a compiler", "ruby", "", "debian:13-slim", "ruby", {"VERSION": "3.3"}
    ),
    *_python("3.11", "debian:12-slim"),
    _on_debian("nginx:1.26", "nginx 1.26", "nginx"),
    _on_debian("postgres:17", "PostgreSQL 17", "postgres"),
    _on_debian("redis:8", "Redis 8", "redis"),
)
RECIPES: Mapping[str, Recipe] = {recipe.reference: recipe for recipe in _ALL}

PULLABLE: Mapping[str, tuple[str, ...]] = {
    "python": ("3.14", "3.13", "3.12", "3.11", "3.10"),
    "node": ("24", "22", "20"),
    "go": ("1.25", "1.24", "1.23"),
    "php": ("8.4", "8.3", "8.2"),
    "ruby": ("3.4", "3.3", "3.2"),
}
"""What the registry offers of the maintained versions; only said when the registry can be reached."""

REPOSITORIES: Mapping[str, str] = {"python": "python", "node": "node", "go": "golang", "php": "php", "ruby": "ruby"}
"""Runtime to the name its images have."""

_SUITES = {"trixie": "13", "bookworm": "12", "stable": "13", "oldstable": "12"}
_LATEST = ("latest", "lts", "current", "stable", "mainline")
_HUB = ("docker.io/", "index.docker.io/", "library/")


def normalise(reference: str) -> str:
    """The short name the engine files an image under: `docker.io/library/python` becomes `python:latest`."""
    name = reference.strip()
    for prefix in _HUB:
        name = name.removeprefix(prefix)
    return name if "@" in name or ":" in name.rpartition("/")[2] else f"{name}:latest"


def registry(reference: str) -> str:
    """The registry a reference is pulled from; empty for the engine's default one."""
    first, slash, _ = normalise(reference).partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else ""


def resolve(reference: str, recipes: Mapping[str, Recipe] = RECIPES) -> Resolution | None:
    """The recipe that stands in for an official image; None when there is none that would be honest."""
    name = normalise(reference)
    if name in recipes:
        return Resolution(recipes[name], "")
    repository, _, tag = name.partition(":")
    wanted, traits = _read(repository, tag)
    fitting = [r for r in recipes.values() if r.repository == repository and _fits(wanted, r.version)]
    known = {"slim", *(word for r in fitting for word in r.variant.split("-") if word)}
    alpine = any(trait.startswith("alpine") for trait in traits)
    asked = {t for t in traits if not t.startswith("alpine") and t not in _SUITES}
    if not fitting or not asked <= known:
        return None
    small = alpine or "slim" in asked
    best = max(fitting, key=lambda r: (_number(r.version), (r.variant == "slim") == small))
    return Resolution(best, _note(name, wanted, best, alpine))


def available(recipes: Mapping[str, Recipe] = RECIPES) -> str:
    """What can be built here, as words: `python 3.13, 3.11; node 24, 22, 20; …`."""
    versions: dict[str, dict[str, None]] = {}
    for recipe in recipes.values():
        versions.setdefault(recipe.repository, {})[recipe.version] = None
    return "; ".join(f"{name} {', '.join(found)}" for name, found in versions.items())


def buildable(recipes: Mapping[str, Recipe] = RECIPES) -> dict[str, tuple[str, ...]]:
    """Runtime to the versions that can be built, newest first."""
    found: dict[str, set[str]] = {}
    for recipe in recipes.values():
        if recipe.runtime:
            found.setdefault(recipe.runtime, set()).add(recipe.version)
    return {runtime: newest_first(versions) for runtime, versions in found.items()}


def newest_first(versions: set[str]) -> tuple[str, ...]:
    return tuple(sorted(versions, key=_number, reverse=True))


def series(repository: str, tag: str) -> str:
    """The version of a tag as people speak of it: `3.13` of python:3.13.5-slim, `22` of node:22.1; else empty."""
    parts = tag.partition("-")[0].split(".")
    length = 1 if repository == "node" else 2
    return ".".join(parts[:length]) if len(parts) >= length and all(p.isdigit() for p in parts) else ""


def _read(repository: str, tag: str) -> tuple[str, list[str]]:
    """A tag as version (empty: the newest) and traits (`slim`, `alpine`, `bookworm` …)."""
    first, *traits = tag.split("-")
    if repository == "debian" and first in _SUITES:
        return _SUITES[first], traits
    if re.fullmatch(r"\d+(\.\d+)*", first):
        return first, traits
    return "", traits if first in _LATEST else [first, *traits]


def _fits(wanted: str, version: str) -> bool:
    return not wanted or f"{wanted}.".startswith(f"{version}.") or f"{version}.".startswith(f"{wanted}.")


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _note(name: str, wanted: str, recipe: Recipe, alpine: bool) -> str:
    note = f"{name} stands for {recipe.reference} here, built from Debian's packages"
    if wanted.startswith(f"{recipe.version}."):
        note += f"; the exact version is the one Debian has of {recipe.version}"
    if alpine:
        note += "; Alpine's own commands (apk) are missing in it"
    return f"{note}."
