"""Git, as far as a deployment needs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Credentials:
    """How to sign in to a remote; at most one is set. Never in argv, never written to the checkout."""

    ssh_key: str | None = None
    token: str | None = None
    username: str = "x-access-token"


@dataclass(frozen=True)
class Repository:
    """A remote and how to reach it. `url`: https, ssh or, if `allow_local`, a path on this machine."""

    url: str
    credentials: Credentials = field(default_factory=Credentials)
    allow_local: bool = False


@dataclass(frozen=True)
class Remote:
    """What a remote says about itself: its branches with their newest commit, and the default one."""

    default_branch: str | None
    branches: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Commit:
    """One commit; `message` is its first line."""

    sha: str
    message: str
    author: str
    committed_at: datetime | None


@dataclass(frozen=True)
class CheckoutLimits:
    """Bytes and seconds a checkout may take."""

    size: int
    seconds: float


class Git(Protocol):
    def probe(self, repository: Repository, timeout: float = 15) -> Remote:
        """Ask a remote for its branches. Raises `Invalid` (code INVALID_REPOSITORY) naming the cause: not a
        repository, unknown host, missing rights, local paths not allowed; `Unavailable` on a time-out."""
        ...

    def checkout(
        self,
        repository: Repository,
        ref: str,
        commit: str | None,
        destination: Path,
        limits: CheckoutLimits,
        on_line: Callable[[str], None],
        cancelled: Callable[[], bool],
    ) -> Commit:
        """Shallow clone of branch or tag `ref` (exactly `commit` when given) with submodules, without hooks.

        Raises `StepFailed` (cause `repository_empty`, `branch_not_found`, `commit_not_found`, `submodule_failed`,
        `repository_too_large`, `access_denied`, `clone_timeout`, `unsafe_symlink`, `disk_full`, `clone_failed`)
        or `Cancelled`."""
        ...
