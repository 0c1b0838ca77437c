"""One `devflow up` per data folder. The kernel frees the lock of one that died."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from devflow.core.errors import Conflict


@contextlib.contextmanager
def only_one(folder: Path, address: str) -> Iterator[None]:
    """Hold the lock; raises `Conflict` naming the process that holds it and where it answers."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "up.pid").open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid = file.read().strip() or "unknown"
            raise Conflict(
                f"DevFlow is already running for {folder} (process {pid}), at {address} - "
                f"stop it with Ctrl-C where it runs, or: kill {pid}"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def running(folder: Path) -> int | None:
    """The process id of the `devflow up` that holds this data folder, if there is one."""
    try:
        with (folder / "up.pid").open("r+", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = (folder / "up.pid").read_text(encoding="ascii").strip()
        return int(text) if text.isdigit() else None
    except OSError:
        return None
    return None
