"""What administrators do with accounts: list them, change their role on the platform, switch them off and on.

Who may switch whom is decided above, where all roles of a person are known."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, delete, func, or_, select

from devflow.core.access import SYSTEM_ROLES, Actor, Permission
from devflow.core.db import db
from devflow.core.epoch import rights_changed
from devflow.core.errors import Conflict, Forbidden, NotFound
from devflow.core.paging import Page, paginate
from devflow.core.use_case import query, use_case
from devflow.features.accounts.models import PERSON, LoginSession, User
from devflow.features.accounts.schemas.people import AssignableQuery, UserQuery
from devflow.features.audit import service as audit


def user(actor: Actor, user_id: str) -> User:
    """The account of a person with this id, for those who administer accounts; service accounts are their team's."""
    found = db.session.get(User, user_id)
    if found is None or found.is_service:
        raise NotFound("There is no such account.")
    return found


@query(Permission.USERS_READ)
def search(actor: Actor, asked: UserQuery) -> Page[User]:
    """All accounts of people, the newest first."""
    rows = select(User).where(User.kind == PERSON).order_by(User.id.desc())
    if asked.role:
        rows = rows.where(User.role == asked.role)
    if asked.is_active is not None:
        rows = rows.where(User.is_active.is_(asked.is_active))
    if asked.search:
        columns = (User.name, User.email, User.username)
        rows = rows.where(or_(*(column.icontains(asked.search, autoescape=True) for column in columns)))
    return paginate(rows, asked)


def count_by_role() -> dict[str, int]:
    """How many people have each role on the platform."""
    counted: Any = db.session.execute(select(User.role, func.count()).where(User.kind == PERSON).group_by(User.role))
    return {row[0]: row[1] for row in counted}


@use_case(Permission.USERS_PROMOTE, fresh=True)
def set_role(actor: Actor, user_id: str, role: str) -> User:
    """Change somebody's role on the platform; it counts from their next request on."""
    account = user(actor, user_id)
    _check_may_give(actor, account.role, role)
    if account.role == "master_admin" != role:
        keep_an_administrator(account)
    if account.role != role:
        before, account.role = account.role, role
        audit.record(actor, "account.role_changed", account, {"role": [before, role]})
        rights_changed()
    return account


def _check_may_give(actor: Actor, before: str, after: str) -> None:
    """Nobody gives or takes what they do not hold on the platform, or not by the token they came with."""
    changed = SYSTEM_ROLES.get(before, frozenset()) ^ SYSTEM_ROLES[after]
    missing = sorted(p.value for p in changed if p not in actor.platform or actor.capped(p))
    if missing and not actor.everything:
        text = f"You do not hold {missing[0]} yourself, so you cannot give or take a role that does."
        raise Forbidden(text, permission=missing[0])


def switch(actor: Actor, account: User, is_active: bool) -> None:
    """Switch an account off, which ends its sessions and its tokens at once, or on again; the transaction runs."""
    if not is_active:
        keep_an_administrator(account)
        db.session.execute(delete(LoginSession).where(LoginSession.user_id == account.id))
    account.is_active = is_active
    audit.record(
        actor, "account.switched_on" if is_active else "account.switched_off", account,
        {"is_active": [not is_active, is_active]},
    )  # fmt: skip
    rights_changed()


def keep_an_administrator(leaving: User) -> None:
    """Raises Conflict if nobody but `leaving` could decide who is administrator any more.

    Every active master_admin is locked, so that two who demote each other at the same moment take turns.
    """
    active = select(User.id).where(User.role == "master_admin", User.is_active).order_by(User.id).with_for_update()
    ids = list(db.session.scalars(active))
    db.session.refresh(leaving)
    if ids == [leaving.id]:
        raise Conflict(f"{leaving.name} is the last master administrator. Give somebody else this role first.")


STAFF = ("approver", "admin", "master_admin")
"""Whom anybody may ask for something: their names are known to all."""


def among(visible: Select[str | None] | None, asked: AssignableQuery) -> Page[User]:
    """Active people by name: the visible ones and staff; None makes everybody visible."""
    rows = select(User).where(User.is_active, User.kind == PERSON).order_by(func.lower(User.name), User.id)
    if visible is not None:
        rows = rows.where(or_(User.id.in_(visible), User.role.in_(STAFF)))
    if asked.role:
        rows = rows.where(User.role == asked.role)
    if asked.search:
        rows = rows.where(User.name.icontains(asked.search, autoescape=True))
    return paginate(rows, asked)
