"""Write into the ledger; read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import or_, select

from devflow.core.access import Actor, Permission
from devflow.core.db import db
from devflow.core.paging import Page, paginate
from devflow.core.use_case import query
from devflow.features.audit.models import Entry
from devflow.features.audit.schemas import AuditQuery

CHANGED = "changed"
"""Stands for the value of a secret."""


def record(actor: Actor, action: str, thing: Any, changes: Mapping[str, Any] | None = None, *, name: str = "") -> None:
    """One row in the transaction of the change itself. `thing` has an id; its team and name are kept if it has them."""
    db.session.add(
        Entry(
            actor_id=actor.id or None,
            actor_name=actor.name,
            team_id=getattr(thing, "team_id", None),
            action=action,
            object_type=action.partition(".")[0],
            object_id=str(thing.id),
            object_name=(name or str(getattr(thing, "name", "")))[:255],
            changes=dict(changes or {}),
            ip=actor.ip,
            agent=actor.agent,
            request_id=actor.request_id,
        )
    )


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
