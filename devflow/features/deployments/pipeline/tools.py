"""What the pipeline works with."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devflow.core.errors import StepFailed
from devflow.ports.edge import Edge
from devflow.ports.engine import Engine
from devflow.ports.git import Git
from devflow.ports.images import BaseImages


@dataclass(frozen=True)
class Tools:
    """The ports, and how to make the edge know every site that is or is about to be served."""

    git: Git
    engine: Engine
    images: BaseImages
    edge: Edge
    publish: Callable[[], None]
    secret_key: str = ""
    """Keys the digests that tell a build its variables have changed."""


def need_disk(folder: Path, free: int) -> None:
    """Refuse to start what would fill the disk. `free` in bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    left = shutil.disk_usage(folder).free
    if left < free:
        raise StepFailed(
            f"Only {left // 1_000_000} MB of disk are free on the server; a build needs {free // 1_000_000} MB.",
            cause="disk_full",
            hint="Delete old deployments or projects, or ask an administrator for more space.",
        )


def is_full(error: OSError) -> bool:
    """Did this happen because a disk or a quota is full? `shutil.copytree` only tells by its text."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(error)


def folder_size(folder: Path) -> int:
    """Bytes of the files below, links not followed."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
