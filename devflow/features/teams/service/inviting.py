"""Invitations: bound to one address, role and team; the link works once and for a week."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select

from devflow.core.access import Actor, Permission, Scope
from devflow.core.addresses import is_service
from devflow.core.clock import now
from devflow.core.crypto import digest
from devflow.core.db import db
from devflow.core.errors import Conflict, Forbidden, Invalid, NotFound
from devflow.core.paging import Page, paginate
from devflow.core.settings import Settings
from devflow.core.use_case import emit, query, refusal, use_case
from devflow.features.accounts.service import people
from devflow.features.accounts.service.entering import NOBODYS
from devflow.features.accounts.service.verifying import require_verified
from devflow.features.audit import service as audit
from devflow.features.mail import service as mail
from devflow.features.teams.events import MemberJoined
from devflow.features.teams.models import Member, Team
from devflow.features.teams.rules import TITLES, check_may_give, masked
from devflow.features.teams.schemas import InviteIn, PendingQuery
from devflow.features.teams.service.finding import find, hold, locked
from devflow.features.teams.service.membership import described, hold_member
from devflow.features.teams.service.vouching import ended, vouched

LIFETIME = timedelta(days=7)
OVER = {
    "accepted": "This invitation has been used.",
    "expired": "This invitation has expired. Ask for another.",
    "ended": "Whoever sent this invitation may not give this role in the team any more. Ask for another.",
}
GONE = "This invitation is not valid: it was withdrawn, or a newer one was sent."


@dataclass(frozen=True)
class Invited:
    """An invitation just made; `path` is its link, which is stored nowhere but in the letter."""

    member: Member
    path: str


@use_case(Permission.MEMBERS_MANAGE, on=hold)
def invite(actor: Actor, team: Team, data: InviteIn, settings: Settings) -> Invited:
    """Invite an address, or invite it again after it was removed or did not come in time."""
    require_verified(actor, settings)
    check_may_give(actor, data.role, team)
    if is_service(data.email):
        raise Invalid(NOBODYS, {"email": [NOBODYS]})
    member = _place_for(team, data.email)
    if member.status == "active":
        raise Conflict(f"{data.email} belongs to {team.name} already.")
    if member.status == "pending" and _state(member) == "pending":
        raise Conflict(f"{data.email} has been invited already. Send the invitation again instead.")
    member.user_id, member.joined_at, member.removed_at = None, None, None
    member.email, member.name, member.role, member.message = data.email, data.name, data.role, data.message
    db.session.add(member)
    path = _link(actor, member)
    db.session.flush()
    audit.record(actor, "member.invited", member, {"role": [None, data.role]}, name=data.email)
    _write(actor, team, member, path)
    return Invited(member, path)


def _place_for(team: Team, email: str) -> Member:
    """The row of this address in the team, whether it was kept by address or by account; a new one without any."""
    user = people.by_email(email)
    same = or_(Member.email == email, Member.user_id == user.id) if user else Member.email == email
    rows = select(Member).where(Member.team_id == team.id, same).order_by(Member.status, Member.id)
    found = list(db.session.scalars(rows.execution_options(populate_existing=True)))
    active = next((row for row in found if row.status == "active"), None)
    for row in found[1:] if active is None else ():
        db.session.delete(row)  # an address that changed hands: one row is enough
    db.session.flush()
    return active or (found[0] if found else Member(team_id=team.id, status="removed"))


def _link(actor: Actor, member: Member) -> str:
    token = secrets.token_urlsafe(32)
    member.status, member.digest, member.expires_at = "pending", digest(token), now() + LIFETIME
    member.invited_by_id, member.invited_at = actor.id or None, now()
    return f"/invitations/{token}"


def _write(actor: Actor, team: Team, member: Member, path: str) -> None:
    mail.send(
        member.email, "invitation", f"{actor.name} invites you to {team.name}", until=member.expires_at, path=path,
        asked=True, team=team.name, inviter=actor.name, role=TITLES[member.role], message=member.message,
    )  # fmt: skip


@use_case(Permission.MEMBERS_MANAGE, on=hold_member)
def resend(actor: Actor, member: Member, settings: Settings) -> Invited:
    """Send the invitation again with a new link and a new week; the old link is dead."""
    require_verified(actor, settings)
    if member.status != "pending":
        raise Conflict(f"{member.email} belongs to the team already.", code="INVALID_STATE")
    check_may_give(actor, member.role, member)
    path = _link(actor, member)
    audit.record(actor, "member.invited_again", member, {"role": [None, member.role]}, name=member.email)
    _write(actor, locked(member.team_id), member, path)
    return Invited(member, path)


def _by_token(token: str) -> Member | None:
    return db.session.scalar(select(Member).where(Member.digest == digest(token)))


def invited(email: str, token: str) -> bool:
    """May this address have an account because of this link, even where nobody else may sign up?"""
    member = _by_token(token)
    return member is not None and _state(member) == "pending" and member.email == email.strip().lower()


def _state(member: Member) -> str:
    if member.status == "active":
        return "accepted"
    if member.expires_at is None or member.expires_at <= now():
        return "expired"
    return "pending" if vouched(member) else "ended"


@query(Permission.INVITATIONS_READ)
def preview(actor: Actor, token: str) -> dict[str, Any]:
    """What an invitation says. Looking changes nothing, so that programs that open links in mails do no harm."""
    member = _by_token(token)
    team = db.session.get(Team, member.team_id) if member is not None else None
    if member is None or team is None or team.deleted_at is not None:
        raise NotFound(GONE)
    state = _state(member)
    inviter = people.by_ids({member.invited_by_id or ""}).get(member.invited_by_id or "")
    return {
        "email": member.email if state == "pending" else masked(member.email),
        "role": member.role,
        "team": {"id": team.id, "name": team.name},
        "invited_by": {"name": inviter.name} if inviter else None,
        "message": member.message if state == "pending" else "",
        "expires_at": member.expires_at,
        "status": state,
        "for_me": bool(actor.id) and actor.email == member.email,
    }


@use_case(Permission.ACCOUNT_MANAGE)
def accept(actor: Actor, key: str) -> Member:
    """Join the team. `key` is the token of the link; for a verified address the id of the invitation will do."""
    member = _mine(actor, key)
    team = locked(member.team_id)
    db.session.refresh(member)
    if actor.email != member.email:
        text = f"This invitation is for another address, {masked(member.email)}. Sign in with it, or ask for a new one."
        raise Forbidden(text)
    if not actor.may(Permission.ACCOUNT_MANAGE, Scope(team.id)):
        raise refusal(actor, Permission.ACCOUNT_MANAGE, team)
    if (state := _state(member)) != "pending":
        raise Conflict(OVER[state], code="INVALID_STATE")
    _drop_former(actor, team)
    member.user_id, member.name, member.status, member.joined_at = actor.id, actor.name, "active", now()
    audit.record(actor, "member.joined", member, name=team.name)
    emit(MemberJoined(team.id, actor.id, member.role))
    return member


def team_of(member: Member) -> Team:
    """The team somebody has just joined: those who ask were no members when their request began."""
    return locked(member.team_id)


def _mine(actor: Actor, key: str) -> Member:
    member = _by_token(key)
    if member is None and people.find(actor.id).email_verified:
        member = db.session.scalar(select(Member).where(Member.id == key, *_sent_to(actor)))
    if member is None:
        raise NotFound(GONE)
    return member


def _sent_to(actor: Actor) -> tuple[ColumnElement[bool], ...]:
    return (Member.email == actor.email, Member.status == "pending", Member.digest.is_not(None))


def _drop_former(actor: Actor, team: Team) -> None:
    """Somebody who was here before under another address."""
    former = select(Member).where(Member.team_id == team.id, Member.user_id == actor.id)
    for row in db.session.scalars(former.execution_options(populate_existing=True)):
        if row.status == "active":
            raise Conflict(f"You belong to {team.name} already.", code="INVALID_STATE")
        db.session.delete(row)
    db.session.flush()


@query(Permission.MEMBERS_READ, on=find)
def pending(actor: Actor, team: Team, asked: PendingQuery) -> Page[dict[str, Any]]:
    """Open invitations of the team, and those sent to the actor's own address if it is verified."""
    rows = and_(Member.team_id == team.id, Member.status == "pending")
    if people.find(actor.id).email_verified:
        living = select(Team.id).where(Team.deleted_at.is_(None))
        rows = or_(rows, and_(*_sent_to(actor), Member.expires_at > now(), Member.team_id.in_(living)))
    page = paginate(select(Member).where(rows).order_by(Member.id.desc()), asked)
    return Page(described(page.items), page.total, page.capped, page.page, page.per_page, page.offset)


@query(Permission.ACCOUNT_READ)
def for_me(actor: Actor) -> list[dict[str, Any]]:
    """Open invitations to the actor's own address, with the names of the teams; none unless it is verified."""
    if not people.find(actor.id).email_verified:
        return []
    both = select(Member, Team.name).join(Team, Team.id == Member.team_id).where(*_sent_to(actor))
    rows = db.session.execute(both.where(Member.expires_at > now(), Team.deleted_at.is_(None))).all()
    over = ended(row[0] for row in rows)
    rows = [row for row in rows if row[0].id not in over]
    return [{"id": row[0].id, "team": row[1], "role": row[0].role, "expires_at": row[0].expires_at} for row in rows]
