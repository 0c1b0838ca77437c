"""Service accounts: what programs of a team act as, so that nothing stops when a person leaves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, or_, select

from devflow.core.access import TEAM_RIGHTS, Actor, Permission, Scope, Scoped
from devflow.core.addresses import service_address
from devflow.core.clock import now
from devflow.core.db import db
from devflow.core.epoch import rights_changed
from devflow.core.errors import Conflict, Forbidden, NotFound
from devflow.core.ids import new_id
from devflow.core.paging import Page, paginate
from devflow.core.use_case import query, use_case
from devflow.features.accounts.service import people
from devflow.features.accounts.service.people import SERVICE, User
from devflow.features.audit import service as audit
from devflow.features.roles.service import forgetting, granting
from devflow.features.teams import rules
from devflow.features.teams.models import Member, Team
from devflow.features.teams.schemas import ServiceAccountIn, ServiceAccountPatch, ServiceAccountQuery
from devflow.features.teams.service import finding

P = Permission


@dataclass(frozen=True)
class ServiceAccount:
    """An account that no person signs in to, with its place in the one team it belongs to."""

    user: User
    member: Member

    @property
    def id(self) -> str:
        return self.user.id

    @property
    def team_id(self) -> str:
        return self.member.team_id

    @property
    def name(self) -> str:
        return self.user.name

    @property
    def description(self) -> str:
        return self.user.description

    @property
    def role(self) -> str:
        return self.member.role

    @property
    def is_active(self) -> bool:
        return self.user.is_active

    @property
    def created_by_id(self) -> str | None:
        return self.member.invited_by_id

    @property
    def created_at(self) -> datetime:
        return self.user.created_at


_BOTH: Any = (
    select(User, Member).join(Member, Member.user_id == User.id).where(User.kind == SERVICE, Member.status == "active")
)


def find(actor: Actor, account_id: str) -> ServiceAccount:
    """A service account by id, if the actor may know of its team."""
    found = db.session.execute(_BOTH.where(User.id == account_id).execution_options(populate_existing=True)).first()
    team = db.session.get(Team, found[1].team_id) if found else None
    if found is None or team is None or team.deleted_at is not None or not actor.sees(Scope(team.id)):
        raise NotFound("There is no such service account in your teams.")
    return ServiceAccount(found[0], found[1])


def hold(actor: Actor, account_id: str) -> ServiceAccount:
    """The same to change it: the whole team is held, so that of two at once the second sees what the first did."""
    finding.locked(find(actor, account_id).team_id)
    return find(actor, account_id)


@query(P.MEMBERS_READ, on=finding.find)
def search(actor: Actor, team: Team, asked: ServiceAccountQuery) -> Page[ServiceAccount]:
    """The service accounts of a team by name."""
    rows = _BOTH.where(Member.team_id == team.id).order_by(func.lower(User.name), User.id)
    if asked.search:
        columns = (User.name, User.description)
        rows = rows.where(or_(*(column.icontains(asked.search, autoescape=True) for column in columns)))
    return paginate(rows, asked, scalars=False).map(lambda row: ServiceAccount(row[0], row[1]))


@query(P.MEMBERS_READ, on=find)
def show(actor: Actor, account: ServiceAccount) -> ServiceAccount:
    return account


@use_case(P.MEMBERS_MANAGE, on=finding.hold)
def create(actor: Actor, team: Team, data: ServiceAccountIn) -> ServiceAccount:
    """A new service account, with a role that the actor could give to anybody."""
    _check_person(actor)
    rules.check_may_give(actor, data.role, team)
    _check_free(team.id, data.name)
    key = new_id()
    address = service_address(key)
    user = User(id=key, kind=SERVICE, name=data.name, description=data.description, email=address, username=key)
    member = Member(
        team_id=team.id, user_id=key, email=address, name=data.name, role=data.role, joined_at=now(),
        invited_by_id=actor.id or None,
    )  # fmt: skip
    db.session.add(user)
    db.session.flush()
    db.session.add(member)
    db.session.flush()
    account = ServiceAccount(user, member)
    audit.record(actor, "service_account.created", account, {"role": [None, data.role]})
    return account


@use_case(P.MEMBERS_MANAGE, on=hold)
def change(actor: Actor, account: ServiceAccount, data: ServiceAccountPatch) -> ServiceAccount:
    """Change what was sent; a lesser role, and being switched off, count from its next request on."""
    check_may_act(actor, account)
    after = data.model_dump(exclude_unset=True, exclude_none=True)
    changes = audit.difference({key: getattr(account, key) for key in after}, after)
    if "role" in changes:
        rules.check_may_give(actor, after["role"], account)
        account.member.role = after["role"]
    if "name" in changes:
        _check_free(account.team_id, after["name"])
        account.user.name = account.member.name = after["name"]
    for key in ("description", "is_active"):
        setattr(account.user, key, after.get(key, getattr(account.user, key)))
    if changes:
        audit.record(actor, _said(changes), account, changes)
        rights_changed()
    return account


def _said(changes: dict[str, Any]) -> str:
    if set(changes) != {"is_active"}:
        return "service_account.updated"
    return "service_account.switched_on" if changes["is_active"][1] else "service_account.switched_off"


@use_case(P.MEMBERS_MANAGE, on=hold)
def end(actor: Actor, account: ServiceAccount) -> None:
    """Delete a service account; its tokens are refused from now on."""
    check_may_act(actor, account)
    audit.record(actor, "service_account.deleted", account)
    forgetting.forget_member(account.id, account.user.email, account.team_id)
    _gone(User.id == account.id)


def end_all(actor: Actor, team_id: str) -> None:
    """Let a team's service accounts go with it, in the running transaction."""
    rows = list(db.session.execute(_BOTH.where(Member.team_id == team_id).order_by(User.id)))
    for row in rows:
        audit.record(actor, "service_account.deleted", ServiceAccount(row[0], row[1]))
    if rows:
        _gone(User.id.in_([row[0].id for row in rows]))


def _gone(which: Any) -> None:
    db.session.flush()
    db.session.execute(delete(User).where(which, User.kind == SERVICE))
    db.session.expire_all()
    rights_changed()


def check_may_act(actor: Actor, account: ServiceAccount) -> None:
    """Nobody makes a service account do, or stops it from doing, what they may not do themselves.

    Besides its role in the team that is what was given to it there, and what was taken from the actor on a project.
    """
    _check_person(actor)
    rules.check_may_give(actor, account.role, account)
    theirs = finding.actor_of(account.user)
    given = [one for one, _ in (*granting.given(account.id), *granting.given(actor.id))]
    projects = {one.project_id for one in given if one.team_id == account.team_id and one.project_id}
    for place in (Scope(account.team_id), *(Scope(account.team_id, key) for key in sorted(projects))):
        beyond = sorted(p.value for p in theirs.rights(place) & TEAM_RIGHTS if not actor.may(p, place))
        if beyond:
            text = f"{account.name} may do more than you here: {beyond[0]}. Only somebody who may do all of it can."
            raise Forbidden(text, permission=beyond[0])


def _check_person(actor: Actor) -> None:
    if actor.service:
        text = "A service account cannot manage service accounts. Sign in yourself for this."
        raise Forbidden(text, code="AUTHORIZATION_FAILED", permission=P.MEMBERS_MANAGE.value)


def _check_free(team_id: str, name: str) -> None:
    same = _BOTH.where(Member.team_id == team_id, func.lower(User.name) == name.lower())
    if db.session.execute(same).first() is not None:
        raise Conflict(f"There is a service account {name} in this team already. Choose another name.")


def offered(actor: Actor, place: Scoped) -> list[tuple[str, str, str]]:
    """The roles this actor may give to a service account, for forms."""
    return [row for row in rules.roles_to_give(actor, place) if row[0] != "owner"]


def described(account: ServiceAccount, makers: dict[str, str]) -> dict[str, Any]:
    """A service account as both doors show it; `makers` are the names of those who made such accounts."""
    fields = ("id", "team_id", "name", "description", "role", "is_active", "created_at")
    maker = makers.get(account.created_by_id or "")
    made = {"id": account.created_by_id, "name": maker} if maker else None
    found = {name: getattr(account, name) for name in fields}
    return {**found, "role_title": rules.TITLES[account.role], "created_by": made}


def makers(accounts: Any) -> dict[str, str]:
    """The names of those who made these accounts, as far as they are still here."""
    return people.names({account.created_by_id for account in accounts if account.created_by_id})


def keepers(user_id: str) -> list[User]:
    """Whom letters about a service account go to: the people who own or administer its team."""
    team = select(Member.team_id).where(Member.user_id == user_id, Member.status == "active")
    staff = (Member.role.in_(("owner", "admin")), Member.status == "active")
    ids = select(Member.user_id).where(Member.team_id.in_(team), *staff)
    found = select(User).where(User.id.in_(ids), User.is_active, User.kind != SERVICE)
    return list(db.session.scalars(found.order_by(User.id)))
