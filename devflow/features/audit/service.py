"""Write into the ledger; read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import event, or_, select
from sqlalchemy.orm import Session

from devflow.core.access import Actor, Permission
from devflow.core.clock import now
from devflow.core.crypto import link
from devflow.core.db import db, transaction
from devflow.core.ids import new_id
from devflow.core.paging import Page, paginate
from devflow.core.use_case import query
from devflow.features.audit.models import Entry, Head
from devflow.features.audit.rules import sealed_text
from devflow.features.audit.schemas import AuditQuery

CHANGED = "changed"
"""Stands for the value of a secret."""
_WAITING = "audit-waiting"


def record(actor: Actor, action: str, thing: Any, changes: Mapping[str, Any] | None = None, *, name: str = "") -> None:
    """One row in the transaction of the change itself. `thing` has an id; its team and name are kept if it has them."""
    _write(
        actor,
        action=action,
        team_id=getattr(thing, "team_id", None),
        object_type=action.partition(".")[0],
        object_id=str(thing.id),
        object_name=(name or str(getattr(thing, "name", "")))[:255],
        changes=json.loads(json.dumps(dict(changes or {}), default=str)),
    )


def refused(actor: Actor, action: str, address: str, status: int) -> None:
    """One row about an attempt that was not allowed, in a transaction of its own. `action` is the permission missed."""
    with transaction():
        _write(
            actor, action=action[:80], object_type="request", object_id=address[:80], object_name=address[:255],
            result="denied", status_code=status,
        )  # fmt: skip


def _write(actor: Actor, **values: Any) -> None:
    """The row waits in the session for the commit, when it takes its place in the chain."""
    whose = {
        "actor_id": actor.id or None, "actor_name": actor.name, "actor_email": actor.email, "token_id": actor.token_id,
        "ip": actor.ip, "agent": actor.agent, "request_id": actor.request_id,
    }  # fmt: skip
    defaults: dict[str, Any] = {"team_id": None, "result": "done", "status_code": 200, "changes": {}}
    row = {"id": new_id(), "created_at": now(), **defaults, **whose, **values}
    db.session.info.setdefault(_WAITING, []).append(row)


@event.listens_for(db.session, "before_commit")
def _chain(session: Session) -> None:
    """Add what waits to the end of the chain. The head is locked last of all, so that nobody waits in a circle."""
    waiting = session.info.pop(_WAITING, [])
    if not waiting:
        return
    session.flush()
    head = session.get(Head, 1, with_for_update=True, populate_existing=True)
    if head is None:
        head = Head(id=1, number=0, hash="")
        session.add(head)
    for values in waiting:
        head.number += 1
        values["number"] = head.number
        head.hash = values["hash"] = link(head.hash, sealed_text(values))
        session.add(Entry(**values))


@event.listens_for(db.session, "after_rollback")
def _forget(session: Session) -> None:
    session.info.pop(_WAITING, None)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The fields whose values differ, as [before, after]."""
    return {key: [before.get(key), after[key]] for key in after if before.get(key) != after[key]}


@query(Permission.AUDIT_READ)
def search(actor: Actor, asked: AuditQuery) -> Page[Entry]:
    """Entries of the actor's teams, newest first; administrators see all."""
    rows = select(Entry).order_by(Entry.id.desc())
    if Permission.AUDIT_READ not in actor.platform:
        mine = [team for team, granted in actor.teams.items() if Permission.AUDIT_READ in granted]
        rows = rows.where(Entry.team_id.in_(mine))
    if asked.action:
        rows = rows.where(Entry.action == asked.action)
    if asked.search:
        rows = rows.where(
            or_(
                Entry.object_name.icontains(asked.search, autoescape=True),
                Entry.actor_name.icontains(asked.search, autoescape=True),
            )
        )
    return paginate(rows, asked)


def recent(actor: Actor, team_ids: tuple[str, ...], limit: int = 8) -> list[Entry]:
    """The newest acts in these teams, for the dashboard."""
    rows = select(Entry).where(Entry.team_id.in_(team_ids)).order_by(Entry.id.desc()).limit(limit)
    return list(db.session.scalars(rows))
