"""Old entries leave the database for sealed files; the chain goes on from where the newest of them ends.

The file is whole and on the disk before the transaction that notes it down, tells of it in the chain, and deletes the
entries. Whatever is killed in between, every entry is in the database, or in a file that is noted down.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

from sqlalchemy import delete, func, insert, select

from devflow.core.access import SYSTEM, Actor, Permission
from devflow.core.clock import now
from devflow.core.crypto import link
from devflow.core.db import db
from devflow.core.errors import Cancelled, Conflict, Unavailable
from devflow.core.use_case import use_case
from devflow.features.audit.models import Archive, Entry, Head
from devflow.features.audit.rules.sealing import ANCHORED, SEALED, anchor_text, plain, seal_text
from devflow.features.audit.service.sealed import ANCHOR, FILE
from devflow.features.audit.service.walking import Row, Walker, chunk, never, older, read
from devflow.features.audit.service.writing import noted

MOST = 20_000
"""Entries of one file: its transaction takes about a second, in which nobody else writes."""
_NAME = re.compile(r"audit-(\d{12})-(\d{12})-([0-9a-f]{8})\.jsonl\.gz")
_DRAFTS_KEPT = timedelta(days=1)


@dataclass(frozen=True)
class Span:
    """Entries to be sealed together; 0 to 0 are those older than the chain."""

    first: int
    last: int
    before: str


@dataclass(frozen=True)
class Draft:
    """A file that is written but not noted down yet."""

    path: Path
    seal: dict[str, Any]
    last_at: datetime
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """Says of which chain it is, so that two chains in one folder never share a name."""
        first, last = self.seal["first_number"], self.seal["last_number"]
        return f"audit-{first:012d}-{last:012d}-{(self.seal['hash'] or self.sha256)[:8]}.jsonl.gz"


def archive(folder: Path, days: int, stopped: Callable[[], bool] = never) -> int:
    """Seal and delete every entry older than so many days (0: none); returns how many left. Raises Unavailable when a
    file cannot be written, Conflict when the entries are not as they were sealed."""
    left = 0
    while days and not stopped() and (span := _due(now() - timedelta(days=days))):
        try:
            left += _archived(folder, span, stopped)
        except Conflict:
            if _newest()[0] < span.first:
                raise  # else another has sealed these meanwhile, so they went away under our hands
    return left


def _archived(folder: Path, span: Span, stopped: Callable[[], bool]) -> int:
    draft = _written(folder, span, stopped)
    try:
        return _seal(SYSTEM, draft)
    except OSError as error:
        raise _not_written(error) from error
    finally:
        draft.path.unlink(missing_ok=True)


def _newest() -> tuple[int, str]:
    """Where the sealed files end; -1 where there is none yet."""
    db.session.rollback()
    newest = select(Archive.last_number, Archive.hash).order_by(Archive.last_number.desc())
    found = db.session.execute(newest).first()
    return (found[0], found[1]) if found else (-1, "")


def _due(before: datetime) -> Span | None:
    """The next entries to leave: the oldest, as far as each is older than that. What a clock that was ahead has dated
    into the future holds nothing up; what is dated too early leaves no sooner than its neighbours."""
    last, value = _newest()
    if last < 0 and (oldest := db.session.scalar(_unnumbered(func.max(Entry.created_at)))) is not None:
        return Span(0, 0, "") if oldest < before else None
    last = max(last, 0)
    some = Entry.number.between(last + 1, last + MOST)
    young = select(func.min(Entry.number)).where(some, Entry.created_at.between(before, now()))
    end = db.session.scalar(young) or last + MOST + 1
    upto = (some, Entry.number < end)
    until = db.session.scalar(select(func.max(Entry.number)).where(*upto, Entry.created_at < before))
    told = select(Entry.id).where(*upto, Entry.action != "audit.archived").limit(1)
    worth = until is not None and db.session.scalar(told.where(Entry.number <= until)) is not None
    db.session.rollback()
    return Span(last + 1, until, value) if until is not None and worth else None


def _unnumbered(what: Any) -> Any:
    return select(what).where(Entry.number.is_(None))


def _written(folder: Path, span: Span, stopped: Callable[[], bool]) -> Draft:
    """The file of these entries, under a name of its own until it is noted down."""
    path = folder / f".draft-{os.getpid()}-{secrets.token_hex(6)}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _clear_drafts(folder)
        path.touch(mode=0o600, exist_ok=False)
        with path.open("wb") as file:
            seal, last_at = _fill(file, span, stopped)
            file.flush()
            os.fsync(file.fileno())
        written = path.read_bytes()
        return Draft(path, seal, last_at, len(written), hashlib.sha256(written).hexdigest())
    except BaseException as error:
        with suppress(OSError):
            path.unlink()
        if isinstance(error, OSError):
            raise _not_written(error) from error
        raise


def _not_written(error: OSError) -> Unavailable:
    return Unavailable(f"Old entries of the audit could not be archived: {error.strerror}. They stay where they are.")


def _clear_drafts(folder: Path) -> None:
    """Files of those that died over them."""
    for path in folder.glob(".draft-*"):
        with suppress(FileNotFoundError):  # another one has just finished with it
            if path.stat().st_mtime < (now() - _DRAFTS_KEPT).timestamp():
                path.unlink()


def _fill(file: IO[bytes], span: Span, stopped: Callable[[], bool]) -> tuple[dict[str, Any], datetime]:
    count, last, row = 0, span.before, None
    with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:  # the same entries, the same bytes
        for row in _rows(span, stopped):
            packed.write(_line({**plain(row), "previous_hash": last, "hash": row["hash"]}))
            count, last = count + 1, row["hash"]
        if row is None or (span.last and row["number"] != span.last):
            raise Conflict("Entries of the audit went away while they were archived.")
        seal = dict(zip(SEALED, (span.first, span.last, count, span.before, last), strict=True))
        packed.write(_line({"seal": {**seal, "signature": link(FILE, seal_text(seal))}}))
    return seal, row["created_at"]


def _line(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, separators=(",", ":")) + "\n").encode()


def _rows(span: Span, stopped: Callable[[], bool]) -> Iterator[Row]:
    """The entries, each checked: a broken chain is not sealed as if it were whole."""
    walker, after = Walker(span.first - 1, span.before), ""
    while raws := (chunk(walker.number, span.last) if span.last else older(after)):
        if stopped():
            raise Cancelled("Archiving was stopped before its end.")
        if span.last:
            walker.over(raws)
        if walker.fault:
            raise Conflict(f"No old entries of the audit are archived while the chain is broken: {walker.fault.says}")
        yield from map(read, raws)
        after = str(raws[-1][1])


@use_case(Permission.PLATFORM_MANAGE)
def _seal(actor: Actor, draft: Draft) -> int:
    """Give the file its name, note it down, delete what it holds: all of it or nothing. Returns 0 where another was
    faster."""
    # Whoever adds to the chain holds its head; so do we, first of all, since nobody who waits for it has what we need.
    db.session.execute(select(Head.number).where(Head.id == 1).with_for_update())
    seal, folder = draft.seal, draft.path.parent
    newest = db.session.scalar(select(func.max(Archive.last_number)))
    if (newest is not None and newest + 1 != seal["first_number"]) or (newest is None and seal["first_number"] > 1):
        return 0
    _clear_twin(folder, seal)
    draft.path.replace(folder / draft.name)
    _sync(folder)
    values = {**seal, "file": draft.name, "size": draft.size, "sha256": draft.sha256, "last_at": draft.last_at}
    signature = link(ANCHOR, anchor_text(values))
    db.session.execute(insert(Archive).values(**values, signature=signature))
    these = Entry.number.between(seal["first_number"], seal["last_number"])
    which = these if seal["last_number"] else Entry.number.is_(None)
    gone = db.session.execute(delete(Entry).where(which).execution_options(synchronize_session=False))
    if getattr(gone, "rowcount", 0) != seal["entries"]:
        raise Conflict("Entries of the audit changed while they were archived.")
    told = {name: values[name] for name in ANCHORED}
    noted(actor, "audit.archived", "audit", "chain", draft.name, {**told, "signature": signature})
    return int(seal["entries"])


def _clear_twin(folder: Path, seal: dict[str, Any]) -> None:
    """A file that was given its name but never noted down, because its process died: its entries are here still."""
    for path in folder.glob(f"audit-{seal['first_number']:012d}-*"):
        named = _NAME.fullmatch(path.name)
        value = named and db.session.scalar(select(Entry.hash).where(Entry.number == int(named[2])))
        if named and value and value.startswith(named[3]):
            path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """A name is on the disk when its folder is."""
    held = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)
