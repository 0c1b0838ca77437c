"""From a checked-out tree to a build plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from devflow.core.errors import DomainError, Invalid, StepFailed
from devflow.features.deployments.rules.detect import go, node, own, php, procfile, python, ruby, static
from devflow.features.deployments.rules.detect.runtimes import Runtimes
from devflow.features.deployments.rules.detect.source import Draft, Source, folder_name, settle
from devflow.features.deployments.rules.detect.tree import Tree
from devflow.features.deployments.rules.detect.values import FRAMEWORKS, Detected, Overrides

_FAMILIES: tuple[tuple[tuple[str, ...], Callable[[Source], Draft | None]], ...] = (
    (php.SLUGS, php.plan),
    (ruby.SLUGS, ruby.plan),
    (go.SLUGS, go.plan),
    (python.SLUGS, python.plan),
    (node.SLUGS, node.plan),
)
_PROGRAMS = {
    **dict.fromkeys(
        ("python", "python3", "pip", "flask", "gunicorn", "uvicorn", "hypercorn", "waitress-serve"), "python"
    ),
    **dict.fromkeys(("node", "npm", "npx"), "node"),
    **dict.fromkeys(("ruby", "bundle", "rackup", "puma"), "ruby"),
    "php": "php",
}
"""The language a start command's program belongs to."""
_SKIPPED = {"node_modules", "vendor", "venv", "env", "target", "__pycache__", "test", "tests"}
_LOOKED_FOR = (
    "Dockerfile, requirements.txt, pyproject.toml, Pipfile, app.py, manage.py, package.json, go.mod, composer.json, "
    "index.php, Gemfile, config.ru, Procfile, index.html"
)
_HINTS = {
    "go": "Add a main package in Go, or let the framework be detected.",
    "static": "Set the output directory to the folder with the pages, or let the framework be detected.",
}
"""What helps where a start command alone does not: there must be something to build or to serve."""
MOST_FOLDERS = 60
"""Folders looked into when the root holds nothing we know."""


def detect(tree: Path, overrides: Overrides, runtimes: Runtimes) -> Detected:
    """How to build and run a checked-out tree.

    Raises `StepFailed` (`nothing_detected`, `root_directory_missing`, `dockerfile_missing`, `manifest_invalid`,
    `image_not_found`) and `Invalid` for settings that cannot be used.
    """
    if overrides.framework and overrides.framework not in FRAMEWORKS:
        raise Invalid("This framework is not known.", {"framework": [f"Choose one of: {', '.join(FRAMEWORKS)}."]})
    root = _root(Tree(tree), overrides.root_directory)
    found = _plan(root, overrides, runtimes)
    if found is None:
        raise _nothing(root, overrides, runtimes)
    return found


def _root(tree: Tree, folder: str) -> Tree:
    name = folder_name("root_directory", folder)
    if tree.is_dir(name or "."):
        return tree.sub(name) if name else tree
    there = ", ".join(tree.folders()[:10])
    raise StepFailed(
        f"The root directory {name} is not in the repository.",
        cause="root_directory_missing",
        hint=f"Set it to a folder of the repository{f', such as: {there}' if there else ''}.",
    )


def _plan(tree: Tree, overrides: Overrides, runtimes: Runtimes) -> Detected | None:
    source = Source(tree, overrides, runtimes, procfile.read(tree))
    own_file = own.plan(source)
    if own_file:
        return own_file
    said = overrides.framework
    for keen in (False, True):
        asked = replace(source, keen=keen)
        for slugs, plan in _FAMILIES:
            draft = plan(asked) if not said or said in slugs else None
            if draft and (detected := _whole(draft, asked)):
                return detected
    if not said and (slug := _by_command(source)):
        return _plan(tree, replace(overrides, framework=slug), runtimes)
    return static.plan(replace(source, keen=True)) if said in ("", "static") else None


def _by_command(source: Source) -> str:
    """The language of the program that the start command names; "" when it does not tell."""
    words = (source.overrides.start_command or source.procfile.web).split()
    program = next((word for word in words if "=" not in word and word not in ("exec", "env")), "")
    return _PROGRAMS.get(program.rpartition("/")[2], "")


def _whole(draft: Draft, source: Source) -> Detected | None:
    """The settled plan, or None when there is still neither a start command nor an output."""
    detected = settle(draft, source)
    return detected if detected.start_command or detected.output_directory else None


def _nothing(tree: Tree, overrides: Overrides, runtimes: Runtimes) -> StepFailed:
    place = f"in {overrides.root_directory}" if overrides.root_directory else "at the top of the repository"
    if overrides.framework:
        name = FRAMEWORKS[overrides.framework]
        message = f"The project is set to {name}, but there is nothing {place} that says how to start it."
        hint = _HINTS.get(overrides.framework, "Set the start command, or let the framework be detected.")
    else:
        message = f"Nothing {place} says how to build this. Looked for: {_LOOKED_FOR}."
        hint = (
            "The start command does not tell which language the program needs: choose the framework too."
            if overrides.start_command
            else "Add a Dockerfile, or choose the framework and set the start command."
        )
    likely = _likely(tree, runtimes) if not overrides.framework else []
    prefix = f"{overrides.root_directory.strip('/')}/" if overrides.root_directory else ""
    says = [
        f"{prefix}{folder}/ looks like {title}: set the root directory to {prefix}{folder}." for folder, title in likely
    ]
    return StepFailed(message, cause="nothing_detected", hint=" ".join(says) or hint)


def _likely(tree: Tree, runtimes: Runtimes) -> list[tuple[str, str]]:
    """Folders, at most two levels down, that would be understood."""
    first = [name for name in tree.folders() if name not in _SKIPPED]
    second = [f"{name}/{inner}" for name in first for inner in tree.folders(name) if inner not in _SKIPPED]
    found: list[tuple[str, str]] = []
    for folder in [*first, *second][:MOST_FOLDERS]:
        if any(folder.startswith(f"{known}/") for known, _ in found):
            continue
        try:
            detected = _plan(tree.sub(folder), Overrides(), runtimes)
        except DomainError:
            continue
        if detected:
            found.append((folder, _article(FRAMEWORKS[detected.framework], detected.kind)))
    return found[:5]


def _article(name: str, kind: str) -> str:
    if name in ("Static files", "Dockerfile"):
        return "plain pages" if kind == "static" else "an app with a Dockerfile"
    return f"{'an' if name[0] in 'AEIO' else 'a'} {name} app"
