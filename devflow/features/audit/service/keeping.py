"""What is known about the chain: the worker checks it again and again, and remembers how far and how it was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from devflow.core.access import SYSTEM, Actor, Permission
from devflow.core.clock import iso, now
from devflow.core.crypto import Links, link
from devflow.core.db import db
from devflow.core.use_case import emit, query, refusal, use_case
from devflow.features.audit.events import ChainBroken
from devflow.features.audit.models import Archive, Check
from devflow.features.audit.rules.faults import Verdict, mend
from devflow.features.audit.rules.sealing import spelled
from devflow.features.audit.rules.times import whole_is_due
from devflow.features.audit.service import chain
from devflow.features.audit.service.reading import sees_all
from devflow.features.audit.service.walking import never
from devflow.features.audit.service.writing import noted

_CHECK = "check"
"""What the signature of a check is for; a word where a link has the one before."""


def latest() -> Check | None:
    """What the checks have found so far; nothing where somebody else has written that down."""
    found = _known()
    db.session.rollback()
    return found


def _known() -> Check | None:
    found = db.session.get(Check, 1, populate_existing=True)
    if found is not None:
        db.session.expunge(found)
    return found if found is not None and Links().fit(_CHECK, _text(found), found.signature) else None


def _text(check: Check) -> str:
    names = [column.name for column in Check.__table__.columns if column.name != "signature"]
    found = {name: getattr(check, name) for name in names}
    return spelled({name: iso(value) if isinstance(value, datetime) else value for name, value in found.items()})


def due() -> bool:
    """Is it time to read the whole chain again?"""
    known = latest()
    return whole_is_due(known.whole_at if known else None, now().astimezone())


def look(
    folder: Path, *, whole: bool, stopped: Callable[[], bool] = never, rest: Callable[[float], None] | None = None
) -> Verdict:
    """Check what came since the check before, or all of it; what was checked once must be there still."""
    known = latest()
    newest = db.session.scalar(select(func.max(Archive.last_number))) or 0
    db.session.rollback()
    before = (known.number, known.hash) if known and not known.fault and known.number > newest else None
    if whole or before is None:
        return chain.verify([before] if before else [], stopped, folder=folder, rest=rest)
    return chain.verify([], stopped, since=before, rest=rest)


@use_case(Permission.PLATFORM_MANAGE)
def remember(actor: Actor, verdict: Verdict, *, whole: bool, asked_by: str = "") -> None:
    """Write down how a check ended. It is an entry where somebody asked for it or something has changed; administrators
    hear once of a fault."""
    known, fault, at = _known(), verdict.fault, now()
    before = None if whole else known
    told = (known.fault_kind, known.fault_number) if known and known.fault else None
    found = (fault.kind, fault.number) if fault else None
    check = Check(
        id=1, number=verdict.number, hash=verdict.hash, checked_at=at,
        whole_at=before.whole_at if before else at, entries=before.entries if before else verdict.checked,
        older=verdict.older, seconds=round(verdict.seconds, 3), absent=before.absent if before else len(verdict.absent),
        fault=fault.says if fault else "", fault_kind=fault.kind if fault else "",
        fault_number=fault.number if fault else None,
    )  # fmt: skip
    check.signature = link(_CHECK, _text(check))
    db.session.merge(check)
    if asked_by or found != told:
        _note(verdict, asked_by)
    if fault and found != told:
        emit(ChainBroken(fault.says, mend(fault.kind), str(iso(at))))


def _note(verdict: Verdict, asked_by: str) -> None:
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


@query(Permission.AUDIT_READ)
def state(actor: Actor) -> dict[str, Any]:
    """Where the chain ends, what the checks have found, and what is in sealed files; for those who may read all."""
    if not sees_all(actor):
        raise refusal(actor, Permission.AUDIT_READ)
    number, value = chain.head()
    check = latest()
    files = select(func.count(), func.sum(Archive.entries), func.max(Archive.last_at))
    count, entries, until = db.session.execute(files).one()
    return {
        "number": number, "hash": value, "check": check, "mend": mend(check.fault_kind) if check else "",
        "archives": {"files": count, "entries": int(entries or 0), "until": until},
    }  # fmt: skip


@query(Permission.PLATFORM_MANAGE)
def asked_for(actor: Actor) -> None:
    """Whoever looks after the platform may have its chain checked; the worker does it, and notes it down."""
