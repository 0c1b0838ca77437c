"""The build context as a tar stream, made while it is sent.

GNU format and whole seconds: BuildKit takes a tar with PAX headers for a Dockerfile.
"""

from __future__ import annotations

import stat
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from docker.utils.build import PatternMatcher

from devflow.core.errors import StepFailed

CHUNK = 256 * 1024


def ignored(root: Path, dockerfile: str) -> list[str]:
    """The patterns of `<dockerfile>.dockerignore`, else of `.dockerignore`."""
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        file = root / name
        if file.is_file() and file.resolve().is_relative_to(root.resolve()):
            text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
            lines = (line.strip() for line in text.splitlines())
            return [line for line in lines if line and not line.startswith("#")]
    return []


def archive(root: Path, dockerfile: str, replaced: Mapping[str, bytes]) -> Iterator[bytes]:
    """The tar in pieces of about `CHUNK` bytes; `replaced` files win over those of the tree.

    Raises `StepFailed` when a file cannot be read.
    """
    buffer = bytearray()
    try:
        for piece in _pieces(root, dockerfile, replaced):
            buffer += piece
            if len(buffer) >= CHUNK:
                yield bytes(buffer)
                buffer.clear()
    except OSError as error:
        raise StepFailed(
            f"A file of the repository cannot be read: {error.strerror} ({_shown(root, error.filename)}).",
            cause="build_failed",
            hint="Check the file's permissions in the repository and deploy again.",
        ) from error
    yield bytes(buffer)


def _pieces(root: Path, dockerfile: str, replaced: Mapping[str, bytes]) -> Iterator[bytes]:
    for name, data in replaced.items():
        info = tarfile.TarInfo(name)
        info.mode, info.size = 0o644, len(data)
        yield _header(info) + data + _padding(len(data))
    patterns = [*ignored(root, dockerfile), f"!{dockerfile}"]
    for name in sorted(PatternMatcher(patterns).walk(str(root))):
        if name not in replaced:
            yield from _entry(root / name, name)
    yield b"\0" * 1024


def _entry(path: Path, name: str) -> Iterator[bytes]:
    status = path.lstat()
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = stat.S_IMODE(status.st_mode), max(0, int(status.st_mtime))
    if stat.S_ISLNK(status.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
        yield _header(info)
    elif stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
        yield _header(info)
    elif stat.S_ISREG(status.st_mode):
        info.size = status.st_size
        yield _header(info)
        yield from _content(path, info.size)


def _content(path: Path, size: int) -> Iterator[bytes]:
    """Exactly `size` bytes, whatever happens to the file meanwhile."""
    left = size
    with path.open("rb") as file:
        while left and (data := file.read(min(CHUNK, left))):
            left -= len(data)
            yield data
    yield b"\0" * left + _padding(size)


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return b"\0" * (-size % 512)


def _shown(root: Path, name: object) -> str:
    return str(name).removeprefix(f"{root}/") if name else "unknown file"
