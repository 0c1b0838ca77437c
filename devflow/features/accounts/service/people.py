"""People: find them, their profile and preferences."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.exc import IntegrityError

from devflow.core.access import Actor, Permission
from devflow.core.db import db
from devflow.core.errors import Conflict, NotFound
from devflow.core.use_case import query, use_case
from devflow.features.accounts import rules
from devflow.features.accounts.models import PERSON, SERVICE, Preferences, User
from devflow.features.accounts.schemas.people import PreferencesPatch, ProfilePatch, UserOut
from devflow.features.audit import service as audit


def has_accounts() -> bool:
    """Is there anybody yet? The first account becomes the administrator."""
    return db.session.scalar(select(User.id).where(User.kind == PERSON).limit(1)) is not None


def free_username(wanted: str | None, email: str) -> str:
    """The user name somebody wants, or one made from their address. Another may still take it before it is written."""
    if wanted:
        _check_free(wanted)
        return wanted
    first = rules.username_from(email)
    name, number = first, 1
    while _username_taken(name):
        number += 1
        name = f"{first}-{number}"
    return name


def _check_free(name: str) -> None:
    if _username_taken(name):
        raise Conflict(f"The user name {name} is taken.")


def _username_taken(name: str) -> bool:
    return db.session.scalar(select(User.id).where(func.lower(User.username) == name.lower())) is not None


@query(Permission.ACCOUNT_READ)
def me(actor: Actor) -> User:
    """The actor's own account."""
    user = db.session.get(User, actor.id)
    if user is None:
        raise NotFound("This account is gone.")
    return user


def with_rights(actor: Actor) -> dict[str, Any]:
    """The actor's own account, with the names of their roles on the platform and what these allow (and their token)."""
    allowed = actor.platform if actor.cap is None else actor.platform & actor.cap
    mine = UserOut.model_validate(me(actor)).model_dump()
    return {**mine, "roles": list(actor.roles), "permissions": sorted(permission.value for permission in allowed)}


@use_case(Permission.ACCOUNT_MANAGE)
def update(actor: Actor, data: ProfilePatch) -> User:
    """Change the fields of the profile that were sent."""
    user = find(actor.id)
    after = data.model_dump(exclude_unset=True, exclude_none=True)
    if "avatar_url" in data.model_fields_set:
        after["avatar_url"] = data.avatar_url  # null takes it away
    if full_name := after.pop("full_name", None):
        after.setdefault("name", full_name)
    name = after.get("username")
    if name and name.lower() != user.username.lower():
        _check_free(name)
    changes = audit.difference({key: getattr(user, key) for key in after}, after)
    try:
        with db.session.begin_nested():
            for key, value in after.items():
                setattr(user, key, value)
    except IntegrityError as error:  # nothing else in a profile is unique
        raise Conflict(f"The user name {name} is taken.") from error
    if changes:
        audit.record(actor, "account.updated", user, changes)
    return user


@query(Permission.ACCOUNT_READ)
def preferences(actor: Actor) -> Preferences:
    """How the actor likes it; the defaults before any change."""
    return _preferences(actor)


def _preferences(actor: Actor) -> Preferences:
    found = db.session.scalar(select(Preferences).where(Preferences.user_id == actor.id))
    return found or Preferences(
        user_id=actor.id, theme="system", email_notifications=True,
        deployment_success_notifications=True, deployment_failure_notifications=True, email_ticket_assigned=True,
        email_sla_breach=True, in_app_comments=True,
    )  # fmt: skip


@use_case(Permission.ACCOUNT_MANAGE)
def set_preferences(actor: Actor, data: PreferencesPatch) -> Preferences:
    """Change the preferences that were sent."""
    row = _preferences(actor)
    after = data.model_dump(exclude_unset=True, exclude_none=True)
    changes = audit.difference({key: getattr(row, key) for key in after}, after)
    if changes:
        for key, value in after.items():
            setattr(row, key, value)
        db.session.add(row)
        audit.record(actor, "account.preferences_changed", find(actor.id), changes)
    return row


@dataclass(frozen=True)
class Look:
    """What the frame of every page shows of the person in front of it."""

    picture: str = ""
    theme: str = "system"
    verified: bool = True


def look(user_id: str) -> Look:
    """One cheap read for each page."""
    both = select(User.avatar_url, User.email_verified, Preferences.theme).outerjoin(
        Preferences, Preferences.user_id == User.id
    )
    found = db.session.execute(both.where(User.id == user_id)).one_or_none()
    return Look(found.avatar_url or "", found.theme or "system", found.email_verified) if found else Look()


def id_of(email: str) -> str | None:
    """The account with this address; without one, the oldest account."""
    people = select(User.id).where(User.kind == PERSON)
    return db.session.scalar(people.where(User.email == email)) or db.session.scalar(people.order_by(User.id).limit(1))


def find(user_id: str) -> User:
    """An account by id."""
    user = db.session.get(User, user_id)
    if user is None:
        raise NotFound("This account is gone.")
    return user


def by_id(user_id: str) -> User | None:
    """An account that may act; None when it is gone or switched off."""
    user = db.session.get(User, user_id)
    return user if user is not None and user.is_active else None


def pictures(user_ids: Collection[str]) -> dict[str, str]:
    """The addresses of the pictures behind ids, of those who have one, for lists."""
    rows: Any = db.session.execute(
        select(User.id, User.avatar_url).where(User.id.in_(user_ids), User.avatar_url.is_not(None))
    )
    return {row.id: row.avatar_url for row in rows} if user_ids else {}


def names(user_ids: set[str]) -> dict[str, str]:
    """The names behind ids, for lists."""
    if not user_ids:
        return {}
    found: Any = db.session.execute(select(User.id, User.name).where(User.id.in_(user_ids)))
    return {row.id: row.name for row in found}


def by_ids(user_ids: set[str]) -> dict[str, User]:
    """The accounts behind ids, for lists."""
    if not user_ids:
        return {}
    return {user.id: user for user in db.session.scalars(select(User).where(User.id.in_(user_ids)))}


def by_email(email: str) -> User | None:
    """The account with this address."""
    return db.session.scalar(select(User).where(User.email == email))


def services() -> Select[Any]:
    """The ids of service accounts, for conditions that are about people."""
    return select(User.id).where(User.kind == SERVICE)


def is_service(user_id: str | None) -> bool:
    """Is this the id of a service account?"""
    user = db.session.get(User, user_id) if user_id else None
    return user is not None and user.is_service


def matching(text: str) -> Select[Any]:
    """The ids of accounts with this in their name or address, for the conditions of lists."""
    columns = (User.name, User.email)
    return select(User.id).where(or_(*(column.icontains(text, autoescape=True) for column in columns)))
