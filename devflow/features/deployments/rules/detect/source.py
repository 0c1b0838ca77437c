"""What a family of languages gets to decide on, what it answers, and how settings are laid over the answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal

from devflow.core.errors import Invalid
from devflow.features.deployments.rules.detect import render, shell
from devflow.features.deployments.rules.detect.procfile import Procfile
from devflow.features.deployments.rules.detect.runtimes import Choice, Runtimes
from devflow.features.deployments.rules.detect.tree import Tree
from devflow.features.deployments.rules.detect.values import Detected, Evidence, Overrides


@dataclass(frozen=True)
class Source:
    """A tree, what the project's settings say, and what can be had.

    `keen` asks a family to take also what fits only loosely: a lone script, a lone page.
    """

    tree: Tree
    overrides: Overrides
    runtimes: Runtimes
    procfile: Procfile
    keen: bool = False

    def wants(self, *frameworks: str) -> bool:
        """Did a person name one of these frameworks?"""
        return self.overrides.framework in frameworks


@dataclass(frozen=True)
class Draft:
    """What a family found, before settings are laid over it."""

    framework: str
    title: str
    recipe: render.Recipe
    runtime: str
    choice: Choice
    port: int
    install: str = ""
    build: str = ""
    start: str = ""
    output: str = ""
    spa: bool = False
    evidence: tuple[Evidence, ...] = ()
    notes: tuple[str, ...] = ()
    required: tuple[str, ...] = ()


def folder_name(field: str, value: str) -> str:
    """A folder inside the tree, in plain form; raises `Invalid`."""
    path = PurePosixPath(value.strip() or ".")
    odd = any(ord(char) < 32 for char in value)
    if path.is_absolute() or ".." in path.parts or odd or len(value) > 500:
        raise Invalid(
            "A folder of the repository is needed.", {field: ["Name a folder inside the repository, such as `dist`."]}
        )
    return "" if str(path) == "." else str(path)


def settle(draft: Draft, source: Source) -> Detected:
    """Lay the project's settings over a draft and write the Dockerfile."""
    said = source.overrides
    install = shell.one_line("install_command", said.install_command or draft.install)
    build = shell.one_line("build_command", said.build_command or draft.build)
    start = shell.one_line("start_command", said.start_command or source.procfile.web or draft.start)
    output = folder_name("output_directory", said.output_directory or draft.output)
    kind: Literal["app", "static"] = "app"
    asked = bool(said.output_directory) and not (said.start_command or source.procfile.web)
    if output and (asked or not start):
        kind = "static"
    recipe = draft.recipe
    if said.install_command:  # it may need any file, and does what the steps after it would have done
        recipe = replace(recipe, manifests=(), finish=())
    port = said.port or draft.port
    commands = render.Commands(install, build, shell.replacing(start), output if kind == "static" else "", port)
    return Detected(
        framework=draft.framework,
        title=draft.title,
        kind=kind,
        install_command=install,
        build_command=build,
        start_command=start if kind == "app" else "",
        output_directory=output if kind == "static" else "",
        release_command=source.procfile.release if kind == "app" else "",
        port=port,
        spa=draft.spa and kind == "static",
        runtime=draft.runtime,
        runtime_version=draft.choice.version,
        base_images=tuple(name for name in (recipe.base, recipe.runner if kind == "app" else "") if name),
        dockerfile=None,
        dockerfile_text=render.dockerfile(recipe, commands),
        static_path=render.SITE if kind == "static" else None,
        evidence=tuple(dict.fromkeys((*draft.evidence, *source.procfile.evidence))),
        notes=(draft.choice.reason, *draft.notes, *source.procfile.notes),
        required_secrets=draft.required,
    )
