"""Look at a repository before there is a project: fetch it, detect what it is, leave nothing behind."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from devflow.features.deployments.rules.detect import FRAMEWORKS, Overrides, Runtimes, detect
from devflow.ports.git import CheckoutLimits, Commit, Git, Repository
from devflow.ports.images import BaseImages

LONGEST_TEXT = 65_536


def frameworks(nothing: str) -> list[tuple[str, str]]:
    """What a project may be set to, for a menu; `nothing` names the empty choice."""
    return [("", nothing), *FRAMEWORKS.items()]


def look(
    repository: Repository,
    branch: str,
    root_directory: str,
    git: Git,
    images: BaseImages,
    limits: CheckoutLimits,
    folder: Path,
) -> tuple[Commit, dict[str, Any]]:
    """The newest commit of a branch, and what it would be built as (fields of `Detected`). Raises StepFailed."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        commit = git.checkout(repository, branch, None, folder, limits, lambda _line: None, lambda: False)
        found = detect(folder, Overrides(root_directory=root_directory), Runtimes(images.versions()))
        own = folder / root_directory / found.dockerfile if found.dockerfile else None
        text = own.read_text(errors="replace")[:LONGEST_TEXT] if own and own.is_file() else found.dockerfile_text
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return commit, {**asdict(found), "dockerfile_text": text}
