"""Reads a checked-out folder without ever following a link out of it."""

from __future__ import annotations

import codecs
import json
import tomllib
from pathlib import Path
from typing import Any

from devflow.core.errors import StepFailed

LARGEST_MANIFEST = 8 * 1024 * 1024
"""Bytes. The largest lock files of real projects stay below; what is larger is not a manifest."""
LARGEST_LISTING = 500
"""Names read from one folder: enough to find what we look for, bounded for trees made to hurt."""


def broken(name: str, why: str, hint: str = "") -> StepFailed:
    """A file that has to be understood and cannot be."""
    return StepFailed(
        f"{name} cannot be read: {why}.",
        cause="manifest_invalid",
        hint=hint or f"Correct {name}, commit it and deploy again.",
    )


class Tree:
    """A folder of a checkout. Names are relative to it, with forward slashes."""

    def __init__(self, root: Path, top: Path | None = None) -> None:
        self.root = root
        self._top = (top or root).resolve()

    def sub(self, folder: str) -> Tree:
        """The same checkout, seen from a folder inside."""
        return Tree(self.root / folder, self._top)

    def inside(self, name: str) -> Path | None:
        """Where a name really lies, or None when that is not in the checkout."""
        try:
            path = (self.root / name).resolve()
            return path if path.is_relative_to(self._top) and path.exists() else None
        except (OSError, RuntimeError, ValueError):  # endless links, names no file system takes
            return None

    def is_file(self, name: str) -> bool:
        """Is it there, a plain file and in the checkout? Raises `StepFailed` for a link that leads out."""
        path = self.inside(name)
        if path is None and (self.root / name).is_symlink():
            raise broken(name, "it is a link that leads nowhere in the repository", f"Put a real {name} in its place.")
        return path is not None and path.is_file()

    def is_dir(self, name: str) -> bool:
        path = self.inside(name)
        return path is not None and path.is_dir()

    def first(self, *names: str) -> str | None:
        """The first of these files that is there."""
        return next((name for name in names if self.is_file(name)), None)

    def present(self, *names: str) -> tuple[str, ...]:
        """Those of these files that are there."""
        return tuple(name for name in names if self.is_file(name))

    def files(self, folder: str = "", suffix: str = "") -> tuple[str, ...]:
        """Names of the plain files in a folder, sorted, hidden ones left out."""
        return tuple(n for n in self._names(folder) if n.endswith(suffix) and self._plain(f"{folder}/{n}".lstrip("/")))

    def folders(self, folder: str = "") -> tuple[str, ...]:
        """Names of the folders in a folder, sorted, hidden ones left out."""
        return tuple(n for n in self._names(folder) if self.is_dir(f"{folder}/{n}".lstrip("/")))

    def text(self, name: str) -> str:
        """The whole file; raises `StepFailed` when it is too large or not text."""
        data = self._bytes(name)
        encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError as error:
            raise broken(name, "it is not text in UTF-8", f"Save {name} as UTF-8 and deploy again.") from error
        if "\0" in text:
            raise broken(name, "it holds binary data")
        return text

    def peek(self, name: str) -> str:
        """The file's text where it can be had, else "": for sources and settings that only add to what we know."""
        try:
            return self.text(name) if self.is_file(name) else ""
        except StepFailed:
            return ""

    def json(self, name: str) -> dict[str, Any]:
        try:
            value = json.loads(self.text(name))
        except json.JSONDecodeError as error:
            raise broken(name, f"line {error.lineno}, column {error.colno}: {error.msg}") from error
        except (RecursionError, ValueError) as error:
            raise broken(name, "it is nested too deeply or holds a number without end") from error
        return _table(name, value)

    def toml(self, name: str) -> dict[str, Any]:
        try:
            value = tomllib.loads(self.text(name))
        except tomllib.TOMLDecodeError as error:
            raise broken(name, str(error)) from error
        except (RecursionError, ValueError) as error:
            raise broken(name, "it is nested too deeply or holds a number without end") from error
        return _table(name, value)

    def _bytes(self, name: str) -> bytes:
        path = self.inside(name)
        if path is None:
            raise broken(name, "it is not in the repository")
        try:
            size = path.stat().st_size
            if size > LARGEST_MANIFEST:
                raise broken(name, f"it has {size >> 20} MB, and at most {LARGEST_MANIFEST >> 20} MB are read")
            return path.read_bytes()
        except OSError as error:
            raise broken(name, error.strerror or "the disk refused") from error

    def _names(self, folder: str) -> list[str]:
        path = self.inside(folder) if folder else self.root
        if path is None or not path.is_dir():
            return []
        try:
            names = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
        except OSError:
            return []
        return names[:LARGEST_LISTING]

    def _plain(self, name: str) -> bool:
        path = self.inside(name)
        return path is not None and path.is_file()


def _table(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise broken(name, "it does not hold an object")
    return value


def table(value: Any, *keys: str) -> dict[str, Any]:
    """The nested table under these keys; anything of another shape counts as empty."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
