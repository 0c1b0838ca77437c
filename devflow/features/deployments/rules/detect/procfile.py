"""The Procfile: which process serves the web, and what runs before a release."""

from __future__ import annotations

import re
from dataclasses import dataclass

from devflow.features.deployments.rules.detect import shell
from devflow.features.deployments.rules.detect.tree import Tree, broken
from devflow.features.deployments.rules.detect.values import Evidence

_LINE = re.compile(r"([A-Za-z0-9_-]+):\s*(.+?)\s*\Z")


@dataclass(frozen=True)
class Procfile:
    """What a Procfile says; empty when there is none."""

    web: str = ""
    release: str = ""
    evidence: tuple[Evidence, ...] = ()
    notes: tuple[str, ...] = ()


def read(tree: Tree) -> Procfile:
    """The Procfile of a tree; raises `StepFailed` when a line cannot be understood."""
    if not tree.is_file("Procfile"):
        return Procfile()
    found: dict[str, str] = {}
    for index, line in enumerate(tree.text("Procfile").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line.strip())
        if match is None:
            raise broken("Procfile", f"line {index} is not of the form `web: command`")
        found[match[1]] = shell.one_line("start_command", match[2])
    others = [name for name in found if name not in ("web", "release")]
    notes = [f"The Procfile's `{name}` process is not started: DevFlow runs `web` and `release`." for name in others]
    if "web" not in found:
        notes.append("The Procfile names no `web` process, so the detected start command is used.")
    says = Evidence("Procfile", ", ".join(found) or "empty")
    return Procfile(found.get("web", ""), found.get("release", ""), (says,), tuple(notes))
