"""A folder out of an image: a tar made by strangers, unpacked without letting it out of its folder."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from devflow.core.errors import StepFailed


class Chunks(io.RawIOBase):
    """An iterator of bytes as a file to read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while not self._rest:
            try:
                self._rest = next(self._chunks)
            except StopIteration:
                return 0
        size = min(len(view), len(self._rest))
        view[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def unpack(chunks: Iterator[bytes], path: str, destination: Path) -> None:
    """Unpack the engine's archive of the folder `path` into `destination`.

    Links inside the folder are kept (absolute ones made relative); one that leaves it raises `StepFailed` and
    nothing of the folder stays. Devices and pipes are left out; set-id bits are dropped.
    """
    destination.mkdir(parents=True, exist_ok=True)
    root = destination.resolve()
    made: list[Path] = []
    links: list[tuple[Path, str]] = []
    try:
        with tarfile.open(fileobj=io.BufferedReader(Chunks(chunks), 1 << 20), mode="r|") as archive:
            for number, member in enumerate(archive):
                if number == 0 and not member.isdir():
                    raise StepFailed(
                        f"{path} is a file, not a folder.",
                        cause="build_failed",
                        hint="Correct the output directory in the build settings.",
                    )
                _member(archive, member, root, links, made)
        _link(root, path, links, made)
    except BaseException:
        _undo(made, root)
        raise


def _member(
    archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path, links: list[tuple[Path, str]], made: list[Path]
) -> None:
    inner = _inside(member.name)
    if inner is None:
        return
    target = root / inner
    if member.issym():
        links.append((target, member.linkname))
        return
    _folder(target if member.isdir() else target.parent, root, made)
    if member.isdir():
        return
    made.append(target)
    if member.islnk():
        original = _inside(member.linkname)
        if original is None or (root / original).is_symlink() or not (root / original).is_file():
            raise _escapes(member.name, member.linkname)
        target.unlink(missing_ok=True)
        os.link(root / original, target)
    elif member.isreg() and (source := archive.extractfile(member)):
        with target.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        target.chmod(0o644 | member.mode & 0o111)


def _folder(path: Path, root: Path, made: list[Path]) -> None:
    """Make a folder and what is missing above it, and remember them."""
    missing = [folder for folder in (path, *path.parents) if folder.is_relative_to(root) and not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir()
        made.append(folder)


def _inside(name: str) -> Path | None:
    """The path below the archive's one top folder; None for that folder itself."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", ".")]
    if ".." in parts:
        raise _escapes(name, name)
    return Path(*parts[1:]) if len(parts) > 1 else None


def _link(root: Path, path: str, links: list[tuple[Path, str]], made: list[Path]) -> None:
    """Links come last, so that no file is ever written through one; then each is walked to where it really ends."""
    for link, target in links:
        if target.startswith("/"):
            try:
                inner = PurePosixPath(target).relative_to(PurePosixPath("/") / path)
            except ValueError:
                raise _escapes(str(link.relative_to(root)), target) from None
            target = os.path.relpath(root / inner, link.parent)
        _folder(link.parent, root, made)
        if link.exists() or link.is_symlink():
            raise _escapes(str(link.relative_to(root)), target)
        made.append(link)
        link.symlink_to(target)
    for link, target in links:
        if not Path(os.path.realpath(link)).is_relative_to(root):
            raise _escapes(str(link.relative_to(root)), target)


def _undo(made: list[Path], root: Path) -> None:
    """A link is removed itself, never what it points to."""
    for path in reversed(made):
        try:
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
        except OSError:
            continue


def _escapes(name: str, target: str) -> StepFailed:
    return StepFailed(
        f"The link {name} in the output points to {target}, which is outside of it.",
        cause="unsafe_link",
        hint="Copy the file into the output folder instead of linking to it.",
    )
