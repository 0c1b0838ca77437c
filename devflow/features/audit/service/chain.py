"""Is the chain whole?"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import func, select

from devflow.core.db import db
from devflow.core.errors import Invalid
from devflow.features.audit.models import Archive, Entry, Head
from devflow.features.audit.rules.faults import Fault, Verdict
from devflow.features.audit.service import sealed
from devflow.features.audit.service.walking import Walker, never


def head() -> tuple[int, str]:
    """The number and hash where the chain ends now; to note down elsewhere."""
    found = db.session.execute(select(Head.number, Head.hash).where(Head.id == 1)).one_or_none()
    db.session.rollback()
    return (found[0], found[1]) if found else (0, "")


def parsed_head(text: str) -> tuple[int, str]:
    """`NUMBER:HASH` as `devflow audit head` prints it. Raises Invalid."""
    number, _, value = text.strip().partition(":")
    if not number.isdecimal() or len(value) != 64:
        raise Invalid(f"{text!r} is no NUMBER:HASH as `devflow audit head` prints it.")
    return int(number), value.lower()


def verify(
    expected: Sequence[tuple[int, str]] = (),
    stopped: Callable[[], bool] = never,
    *,
    folder: Path | None = None,
    reading: bool = False,
    since: tuple[int, str] | None = None,
    rest: Callable[[float], None] | None = None,
) -> Verdict:
    """Walk the chain from the last sealed file on and tell the first thing that is wrong.

    `expected` are heads noted down before. Sealed files that are in `folder` are checked by checksum, and link by link
    when `reading`. `since` is a number and hash up to which it was checked before. `rest` is told how many seconds each
    chunk took, so that a check nobody waits for can leave the machine to others.
    """
    began = time.monotonic()
    while True:
        kept = sealed.archives()
        verdict = _verified(kept, expected, stopped, folder, reading, since, rest)
        if verdict.fault is None or [a.last_number for a in sealed.archives()] == [a.last_number for a in kept]:
            return replace(verdict, seconds=time.monotonic() - began)
        # Entries were sealed and deleted meanwhile: that is no fault.


def _verified(
    kept: Sequence[Archive], expected: Sequence[tuple[int, str]], stopped: Callable[[], bool], folder: Path | None,
    reading: bool, since: tuple[int, str] | None, rest: Callable[[float], None] | None,
) -> Verdict:  # fmt: skip
    end, end_hash = head()
    start = (kept[-1].last_number, kept[-1].hash) if kept else (0, "")
    if since and start[0] < since[0]:
        start, expected = (since, expected) if _stands(*since) else (start, (*expected, since))
    walker, fault, files, absent = Walker(*start), sealed.broken_anchor(kept), 0, []
    if fault is None:
        walker.to(end, stopped, rest)
        fault = walker.fault or _at_the_end(walker, end, end_hash) or _outside(bool(kept))
        fault = fault or _unexpected(expected, kept, folder)
    for archive in kept if folder and fault is None else ():
        if (folder / archive.file).exists():  # type: ignore[operator]
            fault, files = fault or sealed.altered(archive, folder, reading, stopped), files + 1  # type: ignore[arg-type]
        else:
            absent.append(archive.file)
    older = db.session.scalar(select(func.count()).where(Entry.number.is_(None))) or 0
    db.session.rollback()
    archived = sum(archive.entries for archive in kept)
    return Verdict(
        walker.number - start[0], older, end, end_hash, 0, fault, archived=archived, files=files, absent=tuple(absent)
    )


def _stands(number: int, value: str) -> bool:
    """Is the entry up to which it was checked before still there?"""
    return db.session.scalar(select(Entry.hash).where(Entry.number == number)) == value


def _at_the_end(walker: Walker, end: int, end_hash: str) -> Fault | None:
    number = walker.number
    if number < end:
        gone = f"Entry {end} is" if number + 1 == end else f"Entries {number + 1} to {end} are"
        return Fault("missing", number + 1, None, f"{gone} missing at the end of the chain.")
    if walker.hash != end_hash:
        return Fault("head", end, None, f"The head of the chain does not match entry {end}.")
    # One statement sees one moment, however many write meanwhile.
    now_at = select(func.coalesce(func.max(Entry.number), 0), select(Head.number).scalar_subquery())
    newest, number = db.session.execute(now_at).one()
    if newest > (number or 0):
        return Fault("head", newest, None, f"The head of the chain says {number or 0}, but there is an entry {newest}.")
    return None


def _outside(archived: bool) -> Fault | None:
    """An entry without a number is older than the chain, or somebody has put it there; older ones leave first."""
    late = select(Entry.id).where(Entry.number.is_(None)).order_by(Entry.id).limit(1)
    if not archived:
        late = late.where(Entry.id > select(func.min(Entry.id)).where(Entry.number == 1).scalar_subquery())
    key = db.session.scalar(late)
    return Fault("outside", None, key, f"Entry {key} is newer than the chain, but no part of it.") if key else None


def _unexpected(expected: Sequence[tuple[int, str]], kept: Sequence[Archive], folder: Path | None) -> Fault | None:
    for number, noted_hash in expected:
        now_there = db.session.scalar(select(Entry.hash).where(Entry.number == number))
        archive = next((each for each in kept if each.first_number <= number <= each.last_number), None)
        if now_there is None and archive is not None:
            now_there = sealed.hash_in(archive, folder or Path(), number)
            if now_there is None:
                text = f"Entry {number} is in the sealed file {archive.file}, which is not there to be looked into."
                return Fault("expected", number, None, text)
        if now_there is None:
            text = f"Entry {number} was there when its hash was noted down; it is gone."
            return Fault("expected", number, None, text)
        if now_there != noted_hash:
            return Fault("expected", number, None, f"Entry {number} has another hash than was noted down.")
    return None
