"""Read the ledger: who may see which rows, filtered and page by page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, column, false, func, or_, select, table, true
from sqlalchemy.sql import exists

from devflow.core.access import Actor, Permission, Scope
from devflow.core.db import db
from devflow.core.errors import Forbidden, NotFound
from devflow.core.ids import first_id_at
from devflow.core.paging import CursorPage, Page, by_cursor, paginate
from devflow.core.reach import reachable
from devflow.core.use_case import query
from devflow.features.audit.models import Entry
from devflow.features.audit.rules.telling import sentence
from devflow.features.audit.schemas import (
    SEARCHED,
    ActivityOut,
    ActivityQuery,
    AuditQuery,
    EntryOut,
    PeriodQuery,
    UserAuditQuery,
)

SYSTEM_ID = "system"
_users = table("users", column("id"))


@query(Permission.AUDIT_READ)
def search(actor: Actor, asked: AuditQuery) -> CursorPage[EntryOut]:
    """Entries of the teams whose audit the actor may read, newest first; administrators of the platform see all."""
    return _page(matching(actor, asked), asked)


@query(Permission.ACCOUNT_READ)
def of_user(actor: Actor, user_id: str, asked: UserAuditQuery) -> CursorPage[EntryOut]:
    """What one person did: one's own in full, another's as far as the actor may read the audit."""
    theirs = select(Entry).where(Entry.actor_id == user_id)
    if user_id != actor.id:
        theirs = theirs.where(_visible(actor) if actor.may(Permission.AUDIT_READ) else false())
        known = sees_all(actor) and db.session.scalar(select(exists(select(_users.c.id).where(_users.c.id == user_id))))
        if not known and db.session.scalar(theirs.with_only_columns(Entry.id).limit(1)) is None:
            raise NotFound("There is no such person among those whose acts you may see.")
    return _page(_filtered(theirs, asked), asked)


def _in_team(actor: Actor, team_id: str) -> Scope:
    scope = Scope(team_id)
    if not actor.sees(scope):
        raise NotFound("There is no such team among yours.")
    return scope


@query(Permission.TEAMS_READ, on=_in_team)
def activity(actor: Actor, team: Any, asked: ActivityQuery) -> Page[ActivityOut]:
    """What was done in a team (an id, or something with `team_id`), newest first; no refused attempts."""
    rows = _in_period(select(Entry).where(Entry.team_id == team.team_id, Entry.result == "done"), asked)
    if asked.user_id:
        rows = rows.where(_by(asked.user_id))
    return paginate(rows.order_by(Entry.id.desc()), asked).map(_as_activity)


def recent(actor: Actor, team_id: str, limit: int = 8) -> list[Entry]:
    """The newest acts in a team, for the dashboard; none for who may not see the team's activity."""
    if not actor.may(Permission.TEAMS_READ, Scope(team_id)):
        return []
    done = (Entry.team_id == team_id, Entry.result == "done")
    return list(db.session.scalars(select(Entry).where(*done).order_by(Entry.id.desc()).limit(limit)))


def matching(actor: Actor, asked: AuditQuery) -> Select[Any]:
    """The entries asked for that the actor may read, in no order yet."""
    rows = select(Entry).where(_visible(actor))
    if asked.user_id:
        rows = rows.where(_by(asked.user_id))
    return _filtered(rows, asked)


def sees_all(actor: Actor) -> bool:
    """May this actor read the audit of the whole instance?"""
    whole = actor.only_teams is None and actor.only_projects is None and Permission.AUDIT_READ in actor.platform
    return actor.everything or (whole and not actor.capped(Permission.AUDIT_READ))


def kinds() -> list[str]:
    """The kinds of things there are entries about, by jumping from one to the next in the index."""
    found: list[str] = []
    while True:
        after = select(func.min(Entry.object_type)).where(Entry.object_type > (found[-1] if found else ""))
        kind = db.session.scalar(after)
        if kind is None:
            return found
        found.append(kind)


def _visible(actor: Actor) -> ColumnElement[bool]:
    if actor.only_projects is not None:
        raise Forbidden("This token is limited to some projects, but the audit is of whole teams. Use another token.")
    if sees_all(actor):
        return true()
    if actor.only_teams is not None and Permission.AUDIT_READ in actor.platform:
        return Entry.team_id.in_(sorted(actor.only_teams))
    return reachable(actor, Permission.AUDIT_READ, Entry.team_id)


def _by(user_id: str) -> ColumnElement[bool]:
    return Entry.actor_id.is_(None) if user_id == SYSTEM_ID else Entry.actor_id == user_id


def _filtered(rows: Select[Any], asked: UserAuditQuery) -> Select[Any]:
    rows = _in_period(rows, asked)
    for name, value in (
        (Entry.team_id, asked.team_id), (Entry.result, asked.result), (Entry.object_type, asked.resource_type),
        (Entry.object_id, asked.resource_id),
    ):  # fmt: skip
        if value:
            rows = rows.where(name == value)
    return rows


def _in_period(rows: Select[Any], asked: PeriodQuery) -> Select[Any]:
    """Ids are in the order of time, so that one index gives the filter, the period and the order."""
    if asked.from_date:
        rows = rows.where(Entry.id >= first_id_at(asked.from_date))
    if asked.to_date:
        rows = rows.where(Entry.id < first_id_at(asked.to_date + timedelta(milliseconds=1)))
    kind = asked.action.rstrip("*")
    if kind.endswith("."):
        return rows.where(Entry.object_type == kind[:-1])
    return rows.where(Entry.action == asked.action) if asked.action else rows


def _page(rows: Select[Any], asked: UserAuditQuery) -> CursorPage[EntryOut]:
    edge = None
    if asked.search:
        rows, edge = _searched(rows, asked)
    found = by_cursor(rows, asked, Entry.id)
    if edge is not None and found.next_cursor is None:
        found = found.going_on(edge)
    return found.map(described)


def _searched(rows: Select[Any], asked: UserAuditQuery) -> tuple[Select[Any], str | None]:
    """The rows that hold the text among the newest from the cursor on, and where the look ended (None: at the end)."""
    window = (
        asked.within(rows, Entry.id).with_only_columns(Entry.id).order_by(Entry.id.desc()).limit(SEARCHED).subquery()
    )
    count, edge = db.session.execute(select(func.count(), func.min(window.c.id))).one()
    if count:
        rows = rows.where(Entry.id >= edge)
    return rows.where(holding(asked.search)), edge if count == SEARCHED else None


def holding(text: str) -> ColumnElement[bool]:
    """Entries that hold the text in a name or address, or have it as an id."""
    names = (Entry.object_name, Entry.actor_name, Entry.actor_email, Entry.action)
    keys = (Entry.object_id, Entry.request_id, Entry.ip, Entry.token_id, Entry.id)
    return or_(*(name.icontains(text, autoescape=True) for name in names), *(key == text for key in keys))


def described(entry: Entry) -> EntryOut:
    """An entry with the names of the contract, and the act as a sentence."""
    return EntryOut(
        id=entry.id, number=entry.number, user_id=entry.actor_id, user_name=entry.actor_name,
        user_email=entry.actor_email, team_id=entry.team_id, token_id=entry.token_id, action=entry.action,
        result=entry.result, resource_type=entry.object_type, resource_id=entry.object_id,
        resource_name=entry.object_name, description=_sentence(entry), ip_address=entry.ip, user_agent=entry.agent,
        request_id=entry.request_id, status_code=entry.status_code, details=entry.changes, created_at=entry.created_at,
    )  # fmt: skip


def _as_activity(entry: Entry) -> ActivityOut:
    return ActivityOut(
        id=entry.id, team_id=entry.team_id, user_id=entry.actor_id, user_name=entry.actor_name, action=entry.action,
        resource_type=entry.object_type, resource_id=entry.object_id, description=_sentence(entry),
        created_at=entry.created_at,
    )  # fmt: skip


def _sentence(entry: Entry) -> str:
    return sentence(entry.action, entry.object_name, entry.changes, entry.result)
