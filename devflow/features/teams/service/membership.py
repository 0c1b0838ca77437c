"""Who belongs to a team and in which role: list, change, remove, leave."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select

from devflow.core.access import TEAM_ROLES, Actor, Permission, Scope
from devflow.core.clock import now
from devflow.core.db import db
from devflow.core.epoch import rights_changed
from devflow.core.errors import Conflict, NotFound
from devflow.core.paging import Page, paginate
from devflow.core.use_case import emit, query, use_case
from devflow.features.accounts.service import people
from devflow.features.audit import service as audit
from devflow.features.roles.service import forgetting
from devflow.features.teams.events import MemberRemoved
from devflow.features.teams.models import Member, Team
from devflow.features.teams.rules import check_may_give
from devflow.features.teams.schemas import MemberQuery
from devflow.features.teams.service.finding import find, hold, locked
from devflow.features.teams.service.vouching import ended

_FIELDS = ("id", "team_id", "user_id", "email", "role", "status", "invited_at", "joined_at")


def find_member(actor: Actor, member_id: str) -> Member:
    """A member or invitation by id, if the actor may know of the team."""
    member = db.session.get(Member, member_id)
    team = db.session.get(Team, member.team_id) if member is not None else None
    if member is None or team is None or team.deleted_at is not None or not actor.sees(Scope(member.team_id)):
        raise NotFound("There is no such member in your teams.")
    return member


def hold_member(actor: Actor, member_id: str) -> Member:
    """The same to change it: the whole team is held, so that two owners cannot both stop being one."""
    locked(find_member(actor, member_id).team_id)
    alone = select(Member).where(Member.id == member_id, Member.status != "removed")
    member = db.session.scalar(alone.execution_options(populate_existing=True))
    if member is None:
        raise NotFound("There is no such member in your teams.")
    return member


@query(Permission.MEMBERS_READ, on=find)
def search(actor: Actor, team: Team, asked: MemberQuery) -> Page[dict[str, Any]]:
    """Members of a team and those invited, in the order they came; the removed ones only when asked for."""
    rows = select(Member).where(Member.team_id == team.id).order_by(Member.id)
    rows = rows.where(Member.status == asked.status) if asked.status else rows.where(Member.status != "removed")
    if asked.role:
        rows = rows.where(Member.role == asked.role)
    if asked.search:
        rows = rows.where(_matching(asked.search))
    page = paginate(rows, asked)
    return Page(described(page.items), page.total, page.capped, page.page, page.per_page, page.offset)


def _matching(text: str) -> ColumnElement[bool]:
    """By the name and address of the account, or of the invitation while there is none."""
    written = (column.icontains(text, autoescape=True) for column in (Member.name, Member.email))
    return or_(Member.user_id.in_(people.matching(text)), and_(Member.user_id.is_(None), or_(*written)))


@query(Permission.MEMBERS_READ, on=find_member)
def show(actor: Actor, member: Member) -> dict[str, Any]:
    """One member, with what their role allows in this team."""
    allowed = TEAM_ROLES[member.role] if member.status == "active" else frozenset()
    return {**described([member])[0], "permissions": sorted(p.value for p in allowed)}


def described(members: Iterable[Member]) -> list[dict[str, Any]]:
    """Members as both doors show them, with the names and addresses their accounts have now."""
    rows = list(members)
    ids = {row.user_id for row in rows if row.user_id} | {row.invited_by_id for row in rows if row.invited_by_id}
    known, over = people.by_ids(ids), ended(rows)
    return [_described(row, known, ended=row.id in over) for row in rows]


def _described(row: Member, known: dict[str, Any], *, ended: bool) -> dict[str, Any]:
    user, inviter = known.get(row.user_id or ""), known.get(row.invited_by_id or "")
    found = {name: getattr(row, name) for name in _FIELDS}
    return {
        **found,
        "status": "ended" if ended else row.status,
        "email": user.email if user else row.email,
        "name": user.name if user else row.name,
        "expires_at": row.expires_at if row.status == "pending" else None,  # a member's place has no end
        "invited_by": {"id": inviter.id, "name": inviter.name} if inviter else None,
        "is_service": user is not None and user.is_service,
        "last_active_at": user.last_login if user else None,
        "expired": row.status == "pending" and row.expires_at is not None and row.expires_at <= now(),
    }


@use_case(Permission.MEMBERS_MANAGE, on=hold_member)
def set_role(actor: Actor, member: Member, role: str) -> Member:
    """Change the role of a member, or the one an invitation brings."""
    _check_person(member)
    if member.role == role:
        return member
    check_may_give(actor, member.role, member)
    check_may_give(actor, role, member)
    _keep_an_owner(member)
    before, member.role = member.role, role
    if member.status == "pending":
        member.invited_by_id = actor.id or None  # whoever says what it gives vouches for it
    audit.record(actor, "member.role_changed", member, {"role": [before, role]}, name=_name(member))
    rights_changed()
    return member


@use_case(Permission.MEMBERS_MANAGE, on=hold_member)
def remove(actor: Actor, member: Member) -> None:
    """Remove a member, who may do nothing here from their next request on, or withdraw an invitation."""
    _check_person(member)
    if member.user_id != actor.id:
        check_may_give(actor, member.role, member)
    if member.status == "pending":
        _end(member)
        audit.record(actor, "invitation.withdrawn", member, name=member.email)
        return
    _keep_an_owner(member)
    audit.record(actor, "member.removed", member, name=_name(member))
    _out(member)


@use_case(Permission.ACCOUNT_MANAGE, on=hold)
def leave(actor: Actor, team: Team) -> None:
    """Stop being a member."""
    mine = select(Member).where(Member.team_id == team.id, Member.user_id == actor.id, Member.status == "active")
    member = db.session.scalar(mine.execution_options(populate_existing=True))
    if member is None:
        raise NotFound("You are no member of this team.")
    _keep_an_owner(member)
    audit.record(actor, "member.left", member, name=team.name)
    _out(member)


def part(actor: Actor, member_id: str) -> None:
    """Remove a member; oneself one may always."""
    member = find_member(actor, member_id)
    if member.user_id == actor.id and member.status == "active":
        leave(actor, member.team_id)
    else:
        remove(actor, member_id)


def _out(member: Member) -> None:
    user = people.find(member.user_id or "")
    _end(member)
    forgetting.forget_member(user.id, user.email, member.team_id)
    emit(MemberRemoved(member.team_id, user.id))
    rights_changed()


def _end(member: Member) -> None:
    member.status, member.removed_at, member.digest, member.expires_at = "removed", now(), None, None


def _keep_an_owner(member: Member) -> None:
    """Raises Conflict when the team would be without an owner, or the person without their own team."""
    if member.status != "active":
        return
    team = db.session.get(Team, member.team_id)
    if team is not None and team.personal_of == member.user_id:
        raise Conflict(f"{team.name} is {_name(member)}'s own team, which they cannot leave.")
    if member.role == "owner" and not owners(member.team_id, but=member.id):
        raise Conflict(
            f"{_name(member)} is the last owner of {team.name if team else 'the team'}. Make somebody else owner first."
        )


def owners(team_id: str, *, but: str) -> int:
    """How many owners a team has besides one of them."""
    others = (Member.team_id == team_id, Member.role == "owner", Member.status == "active", Member.id != but)
    return db.session.scalar(select(func.count()).select_from(Member).where(*others)) or 0


def _check_person(member: Member) -> None:
    """A service account has a page of its own, where its tokens are, too."""
    if people.is_service(member.user_id):
        text = f"{_name(member)} is a service account. Change or delete it under Service accounts."
        raise Conflict(text, code="INVALID_STATE", service_account_id=member.user_id)


def _name(member: Member) -> str:
    found = people.names({member.user_id}) if member.user_id else {}
    return found.get(member.user_id or "", member.name or member.email)
