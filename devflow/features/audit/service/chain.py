"""Is the chain whole? From the database, or from exported lines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import func, select

from devflow.core.access import SYSTEM, Actor, Permission
from devflow.core.crypto import link
from devflow.core.db import db
from devflow.core.errors import Cancelled, Invalid
from devflow.core.use_case import query, refusal, use_case
from devflow.features.audit.models import Entry, Head
from devflow.features.audit.rules.faults import Fault, Verdict, broken_link
from devflow.features.audit.rules.sealing import FIELDS, sealed_text
from devflow.features.audit.service.reading import sees_all
from devflow.features.audit.service.writing import noted

CHUNK = 2000
AROUND = 60
"""Entries on both sides among which a displaced one is looked for."""
_NAMES = (*FIELDS, "hash")
_TABLE = Entry.__table__
_ROWS = select(*(_TABLE.c[name] for name in _NAMES))  # the table itself: a third of the time


def _never() -> bool:
    return False


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


def verify(expected: Sequence[tuple[int, str]] = (), stopped: Callable[[], bool] = _never) -> Verdict:
    """Walk the whole chain and tell the first thing that is wrong. `expected` are heads noted down before."""
    began = time.monotonic()
    end, end_hash = head()
    checked, last, fault = 0, "", None
    for row in _chained(end, stopped):
        fault = broken_link(row, last, checked + 1, lambda at=row["number"]: _near(at))  # type: ignore[misc]
        if fault:
            break
        checked, last = checked + 1, row["hash"]
    fault = fault or _at_the_end(checked, last, end, end_hash) or _outside() or _unexpected(expected)
    older = db.session.scalar(select(func.count()).where(Entry.number.is_(None))) or 0
    db.session.rollback()
    return Verdict(checked, older, end, end_hash, time.monotonic() - began, fault)


def _chained(end: int, stopped: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """Entries by number; no transaction lasts longer than a chunk."""
    number = 0
    while not stopped():
        some = (
            _ROWS.where(_TABLE.c.number > number, _TABLE.c.number <= end)
            .order_by(_TABLE.c.number, _TABLE.c.id)
            .limit(CHUNK)
        )
        found = list(db.session.execute(some))
        db.session.rollback()
        for values in found:
            yield dict(zip(_NAMES, values, strict=True))
        if len(found) < CHUNK:
            return
        number = found[-1][0]
    raise Cancelled("The check was stopped before its end.")


def _near(number: int) -> list[dict[str, Any]]:
    near = _ROWS.where(_TABLE.c.number.between(number - AROUND, number + AROUND)).order_by(_TABLE.c.number)
    return [dict(zip(_NAMES, values, strict=True)) for values in db.session.execute(near)]


def _at_the_end(checked: int, last: str, end: int, end_hash: str) -> Fault | None:
    if checked < end:
        gone = f"Entry {end} is" if checked + 1 == end else f"Entries {checked + 1} to {end} are"
        return Fault("missing", checked + 1, None, f"{gone} missing at the end of the chain.")
    if last != end_hash:
        return Fault("head", end, None, f"The head of the chain does not match entry {end}.")
    # One statement sees one moment, however many write meanwhile.
    now_at = select(func.coalesce(func.max(Entry.number), 0), select(Head.number).scalar_subquery())
    newest, number = db.session.execute(now_at).one()
    if newest > (number or 0):
        return Fault("head", newest, None, f"The head of the chain says {number or 0}, but there is an entry {newest}.")
    return None


def _outside() -> Fault | None:
    """An entry without a number is older than the chain, or somebody has put it there."""
    first = select(func.min(Entry.id)).where(Entry.number == 1).scalar_subquery()
    late = select(Entry.id).where(Entry.number.is_(None), Entry.id > first).order_by(Entry.id).limit(1)
    key = db.session.scalar(late)
    return Fault("outside", None, key, f"Entry {key} is newer than the chain, but no part of it.") if key else None


def _unexpected(expected: Sequence[tuple[int, str]]) -> Fault | None:
    for number, noted_hash in expected:
        now_there = db.session.scalar(select(Entry.hash).where(Entry.number == number))
        if now_there is None:
            return Fault(
                "expected", number, None, f"Entry {number} was there when its hash was noted down; it is gone."
            )
        if now_there != noted_hash:
            return Fault("expected", number, None, f"Entry {number} has another hash than was noted down.")
    return None


def verify_lines(lines: Iterable[str]) -> Verdict:
    """The same for an export: each line by itself, and how many numbers between the first and the last are left out."""
    began = time.monotonic()
    checked, older, first, last, last_hash = 0, 0, 0, 0, ""
    fault: Fault | None = None
    for at, line in enumerate(lines, 1):
        row = _read(line)
        if row is None:
            fault = Fault("unreadable", None, None, f"Line {at} is no entry of an export.")
        elif row["number"] is None:
            older += 1
            continue
        elif link(str(row["previous_hash"]), sealed_text(row)) != row["hash"]:
            key = str(row["id"])
            fault = Fault("changed", row["number"], key, f"Entry {row['number']} ({key}) is not as it was written.")
        if row is None or fault:
            break
        checked += 1
        first = min(first or row["number"], row["number"])
        if row["number"] > last:
            last, last_hash = row["number"], row["hash"]
    left_out = last - first + 1 - checked if checked else 0
    return Verdict(checked, older, last, last_hash, time.monotonic() - began, fault, left_out)


def _read(line: str) -> Mapping[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(row, dict) and {*_NAMES, "previous_hash"} <= row.keys()
    return row if whole and isinstance(row["number"], int | None) else None


@query(Permission.AUDIT_READ)
def state(actor: Actor) -> dict[str, Any]:
    """Where the chain ends, and what the latest check said; for those who may read all of it."""
    if not sees_all(actor):
        raise refusal(actor, Permission.AUDIT_READ)
    number, value = head()
    latest = select(Entry).where(Entry.action == "audit.verified").order_by(Entry.id.desc()).limit(1)
    return {"number": number, "hash": value, "check": db.session.scalar(latest)}


@query(Permission.PLATFORM_MANAGE)
def asked_for(actor: Actor) -> None:
    """Whoever looks after the platform may have its chain checked; the worker does it, and notes it down."""


@use_case(Permission.PLATFORM_MANAGE)
def note(actor: Actor, verdict: Verdict, asked_by: str) -> None:
    """Write down how a check ended: an entry like any other."""
    fault = verdict.fault
    outcome = "whole" if fault is None else "broken" if fault.number is None else f"broken at entry {fault.number}"
    noted(
        SYSTEM, "audit.verified", "audit", "chain", "Chain",
        {
            "outcome": outcome, "fault": fault.says if fault else None, "checked": verdict.checked,
            "older_than_the_chain": verdict.older, "head": f"{verdict.number}:{verdict.hash}",
            "seconds": round(verdict.seconds, 1), "asked_by": asked_by,
        },
    )  # fmt: skip
