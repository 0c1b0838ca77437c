"""The Dockerfile a build uses: the user's own or a generated one, and the directives at its top."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from devflow.core.errors import StepFailed
from devflow.ports.engine import BuildSpec

GENERATED = ".devflow.Dockerfile"
"""Name of a generated Dockerfile beside the context; the user's tree never gets it."""

_DIRECTIVE = re.compile(r"^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$")


@dataclass(frozen=True)
class Recipe:
    """`path` inside the context; `text` replaces what lies there (None: the file is sent as it is)."""

    path: str
    text: str | None
    syntax: str = ""
    """The frontend the Dockerfile asks for (`# syntax=…`), empty if none."""
    source: str = ""

    def without_syntax(self) -> Recipe:
        return replace(self, text=without_syntax(self.source), syntax="")


def recipe(spec: BuildSpec) -> Recipe:
    """Find the Dockerfile; raises `StepFailed` (`dockerfile_invalid`) if there is none."""
    if spec.dockerfile_text is not None:
        return Recipe(GENERATED, spec.dockerfile_text, syntax(spec.dockerfile_text), spec.dockerfile_text)
    root = spec.context.resolve()
    try:
        file = (root / spec.dockerfile).resolve()
        inside = file.is_relative_to(root) and file.is_file()
        source = file.read_text(encoding="utf-8", errors="replace") if inside else ""
    except OSError:
        inside = False
    if not inside:
        raise StepFailed(
            f"There is no Dockerfile at {spec.dockerfile!r} in the repository.",
            cause="dockerfile_invalid",
            hint="Add it, or set the path of the Dockerfile in the build settings.",
        )
    return Recipe(spec.dockerfile, None, syntax(source), source)


def _directives(source: str) -> list[tuple[int, str, str]]:
    found = []
    for number, line in enumerate(source.removeprefix("\ufeff").splitlines()):
        if not (match := _DIRECTIVE.match(line)):
            break
        found.append((number, match[1].lower(), match[2]))
    return found


def syntax(source: str) -> str:
    """The frontend named at the top, e.g. `docker/dockerfile:1`."""
    return next((value for _, key, value in _directives(source) if key == "syntax"), "")


def without_syntax(source: str) -> str:
    """The same Dockerfile without that line; a comment below the directives keeps the line numbers."""
    found = _directives(source)
    lines = source.removeprefix("\ufeff").splitlines(keepends=True)
    asked = [number for number, key, _ in found if key == "syntax"]
    if not asked:
        return source
    del lines[asked[0]]
    lines.insert(len(found) - 1, "#\n")
    return "".join(lines)
