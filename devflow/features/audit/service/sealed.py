"""Sealed files and exports: read them, and check them away from the database."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from sqlalchemy import select

from devflow.core.crypto import Links
from devflow.core.db import db
from devflow.core.errors import Cancelled
from devflow.features.audit.models import Archive
from devflow.features.audit.rules.faults import Fault, Verdict
from devflow.features.audit.rules.sealing import FIELDS, SEALED, anchor_text, seal_text, sealed_text
from devflow.features.audit.service.walking import Row, near, never

FILE = "sealed file"
ANCHOR = "kept of a sealed file"
"""What a signature is for; a word where a link has the one before."""
_NAMES = {*FIELDS, "hash", "previous_hash"}
_BLOCK = 1 << 20


def archives() -> list[Archive]:
    """What is kept of every sealed file, oldest first."""
    found = list(db.session.scalars(select(Archive).order_by(Archive.last_number)))
    db.session.expunge_all()
    db.session.rollback()
    return found


def broken_anchor(kept: Sequence[Archive]) -> Fault | None:
    """What is wrong with what is kept of the sealed files."""
    links, number, last = Links(), 0, ""
    for archive in kept:
        if not links.fit(ANCHOR, anchor_text(vars(archive)), archive.signature):
            return _not_ours(archive)
        follows = archive.first_number in (number, number + 1) if number == 0 else archive.first_number == number + 1
        if not follows or archive.previous_hash != last:
            text = f"The sealed file {archive.file} does not go on where the one before ended (entry {number})."
            return Fault("archive", archive.first_number, None, text)
        number, last = archive.last_number, archive.hash
    return None


def _not_ours(archive: Archive) -> Fault:
    rows = near(archive.last_number + 1)
    some = [row for row in rows if row["number"] > archive.last_number][:2]
    before = archive.hash
    for row in some:
        if Links().fit(before, sealed_text(row), row["hash"]):
            text = f"What is kept of the sealed file {archive.file} is not as it was written."
            return Fault("archive", archive.first_number, None, text)
        before = row["hash"]
    text = (
        f"What is kept of the sealed file {archive.file} does not fit AUDIT_KEY, and neither do the entries after it."
    )
    return Fault("key", archive.first_number, None, text)


def altered(archive: Archive, folder: Path, reading: bool, stopped: Callable[[], bool] = never) -> Fault | None:
    """What is wrong with a sealed file that is there; every link in it is checked when `reading`."""
    path = folder / archive.file
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(_BLOCK):
            if stopped():
                raise Cancelled("The check was stopped before its end.")
            digest.update(block)
    if digest.hexdigest() != archive.sha256:
        text = f"The sealed file {archive.file} is not as it was written: it has another checksum."
        return Fault("archive", archive.first_number, None, text)
    if not reading:
        return None
    with path.open("rb") as file:
        verdict = verify_lines(lines(file))
    if verdict.fault:
        return Fault("archive", verdict.fault.number, None, f"In the sealed file {archive.file}: {verdict.fault.says}")
    whole = verdict.checked + verdict.older == archive.entries and verdict.left_out == 0
    if not whole or (archive.last_number and verdict.hash != archive.hash):
        text = f"The sealed file {archive.file} holds other entries than are kept of it."
        return Fault("archive", archive.first_number, None, text)
    return None


def hash_in(archive: Archive, folder: Path, number: int) -> str | None:
    """The hash of an entry in a sealed file; None when the file is not there or has no such entry."""
    if number == archive.last_number:
        return archive.hash
    try:
        with (folder / archive.file).open("rb") as file:
            rows = (_read(line) for line in lines(file))
            return next((str(row["hash"]) for row in rows if row and row["number"] == number), None)
    except OSError:
        return None


def lines(file: IO[bytes]) -> Iterator[str]:
    """The lines of an export or of a sealed file, packed or not; one that cannot be read ends them with rubbish."""
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(file)  # type: ignore[type-var]
    packed = buffered.peek(2)[:2] == b"\x1f\x8b"
    stream: IO[bytes] = gzip.GzipFile(fileobj=buffered) if packed else buffered  # type: ignore[assignment]
    sealed = False
    try:
        for line in stream:
            sealed = line.startswith(b'{"seal":')
            yield line.decode(errors="replace")
    except (EOFError, zlib.error, gzip.BadGzipFile):
        yield "This file is cut off or damaged."
        return
    if packed and not sealed:
        yield "This file has no seal."


def verify_lines(lines: Iterable[str]) -> Verdict:
    """Is every line of an export as it was written, and how many numbers between the first and the last are left out?
    A sealed file's last line must vouch for the others."""
    began, seen, fault = time.monotonic(), _Seen(), None
    for at, line in enumerate(lines, 1):
        fault = seen.take(at, line)
        if fault:
            break
    left_out = seen.last - seen.first + 1 - seen.checked if seen.checked else 0
    spent = time.monotonic() - began
    return Verdict(seen.checked, seen.older, seen.last, seen.hash, spent, fault, left_out)


class _Seen:
    """What the lines read so far hold."""

    def __init__(self) -> None:
        self.checked = self.older = self.first = self.last = 0
        self.before = self.hash = ""
        self.sealed = False

    def take(self, at: int, line: str) -> Fault | None:
        """The next line, and what is wrong with it."""
        row = _read(line)
        seal = None if row else _seal(line)
        if seal and not self.sealed:
            return self._end(seal)
        if row is None or self.sealed:
            return Fault("unreadable", None, None, f"Line {at} is no entry of an export: {line.strip()[:60]}")
        if row["number"] is None:
            self.older += 1
        elif Links().fit(str(row["previous_hash"]), sealed_text(row), str(row["hash"])):
            self._count(row)
        else:
            key = str(row["id"])
            return Fault("changed", row["number"], key, f"Entry {row['number']} ({key}) is not as it was written.")
        return None

    def _count(self, row: Row) -> None:
        self.checked += 1
        if not self.first or row["number"] < self.first:
            self.first, self.before = row["number"], str(row["previous_hash"])
        if row["number"] > self.last:
            self.last, self.hash = row["number"], str(row["hash"])

    def _end(self, seal: Mapping[str, Any]) -> Fault | None:
        self.sealed = True
        held = {
            "first_number": self.first, "last_number": self.last, "entries": self.checked + self.older,
            "previous_hash": self.before, "hash": self.hash,
        }  # fmt: skip
        if seal_text(held) == seal_text(seal) and Links().fit(FILE, seal_text(seal), str(seal["signature"])):
            return None
        return Fault("archive", self.last, None, "The seal at the end does not fit the lines before it.")


def _read(line: str) -> Row | None:
    row = _loaded(line)
    return row if row and row.keys() >= _NAMES and isinstance(row["number"], int | None) else None


def _seal(line: str) -> Mapping[str, Any] | None:
    seal = (_loaded(line) or {}).get("seal")
    return seal if isinstance(seal, dict) and seal.keys() >= {*SEALED, "signature"} else None


def _loaded(line: str) -> Row | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
