"""Things to keep as one file: a tar.gz of JSON and texts."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from devflow.core.clock import now

Text = tuple[str, Iterator[str]]
"""A name in the archive, and the pieces of the text."""


def write(folder: Path, name: str, parts: Mapping[str, Any], texts: Iterable[Text]) -> str:
    """Write an archive only its owner may read, whole or not at all; answers its name."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / f"{name}-{now():%Y%m%d-%H%M%S-%f}.tar.gz"
    draft = file.with_name(f".{file.name}")
    try:
        draft.touch(mode=0o600, exist_ok=False)
        with draft.open("wb") as out:
            with tarfile.open(fileobj=out, mode="w:gz") as archive:
                for part, value in parts.items():
                    _add(archive, part, orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str))
                for part, pieces in texts:
                    _add(archive, part, "".join(pieces).encode())
            os.fsync(out.fileno())
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    return file.name


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(data), int(now().timestamp()), 0o600
    archive.addfile(entry, io.BytesIO(data))
