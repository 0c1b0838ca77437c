"""Define roles, and find them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete as remove
from sqlalchemy import distinct, func, or_, select

from devflow.core.access import EVERYWHERE, GRANTABLE, TEAM_RIGHTS, Actor, Permission
from devflow.core.db import db
from devflow.core.epoch import rights_changed
from devflow.core.errors import Conflict, Forbidden, Invalid, NotFound
from devflow.core.paging import COUNT_CAP, Page, count_up_to
from devflow.core.use_case import query, use_case
from devflow.features.accounts.service import administering
from devflow.features.audit import service as audit
from devflow.features.roles import rules
from devflow.features.roles.models import Assignment, Guest, Role
from devflow.features.roles.rules import RoleView, known
from devflow.features.roles.schemas import (
    PermissionOut,
    PermissionsIn,
    RoleIn,
    RolePatch,
    RoleQuery,
    described,
)


@query(Permission.ROLES_READ)
def permissions(actor: Actor) -> list[PermissionOut]:
    """Everything a role can hold."""
    return [described(permission) for permission in Permission if permission in GRANTABLE]


@query(Permission.ROLES_READ)
def search(actor: Actor, asked: RoleQuery) -> Page[RoleView]:
    """All roles: the built-in ones, then those of one's own by name."""
    assert asked.limit is not None and asked.offset is not None
    word = asked.search.lower()
    fixed = [name for name, text in rules.BUILT_IN.items() if word in name or word in text.lower()]
    first = fixed[asked.offset : asked.offset + asked.limit]
    rows = select(Role).order_by(func.lower(Role.name), Role.id)
    if word:
        rows = rows.where(
            or_(Role.name.icontains(word, autoescape=True), Role.description.icontains(word, autoescape=True))
        )
    total = len(fixed) + count_up_to(rows, COUNT_CAP + 1)
    own = rows.offset(max(0, asked.offset - len(fixed))).limit(asked.limit - len(first))
    counted = administering.count_by_role() if first else {}
    shown = [rules.view_of_built_in(name, counted.get(name, 0)) for name in first]
    shown += _views(list(db.session.scalars(own)) if len(first) < asked.limit else [])
    return Page(shown, min(total, COUNT_CAP), total > COUNT_CAP, asked.page, asked.limit, asked.offset)


def _views(roles: list[Role]) -> list[RoleView]:
    ids = [role.id for role in roles]
    counted: Any = db.session.execute(
        select(Assignment.role_id, func.count(distinct(Assignment.user_id)))
        .where(Assignment.role_id.in_(ids), Assignment.effect == "grant")
        .group_by(Assignment.role_id)
    )
    users = {row[0]: row[1] for row in counted}
    return [
        RoleView(
            role.id, role.name, role.description, tuple(sorted(p.value for p in known(role.permissions))), False,
            users.get(role.id, 0), role.created_at, role.updated_at,
        )
        for role in roles
    ]  # fmt: skip


def find(actor: Actor, role_id: str) -> RoleView:
    """A role by id, built-in or of one's own."""
    if name := rules.built_in(role_id):
        return rules.view_of_built_in(name, administering.count_by_role().get(name, 0))
    role = db.session.get(Role, role_id)
    if role is None:
        raise NotFound("There is no such role.")
    return _views([role])[0]


@query(Permission.ROLES_READ)
def show(actor: Actor, role_id: str) -> RoleView:
    """One role, for those who may see them."""
    return find(actor, role_id)


def locked(role_id: str) -> Role:
    """A role of one's own, held until the transaction ends: while it is given, nobody changes what it allows."""
    if name := rules.built_in(role_id):
        raise Forbidden(f"{name} is a built-in role and cannot be changed. Make a role of your own instead.")
    role = db.session.get(Role, role_id, with_for_update=True, populate_existing=True)
    if role is None:
        raise NotFound("There is no such role.")
    return role


@use_case(Permission.ROLES_MANAGE, fresh=True)
def create(actor: Actor, data: RoleIn) -> RoleView:
    """Define a role. Nobody defines one that holds more than they do, and none is said to allow nothing: a program may
    leave its permissions for later, though."""
    if not data.permissions and "permissions" in data.model_fields_set:
        text = "A role has to allow something. Choose at least one permission."
        raise Invalid(text, {"permissions": [text]})
    rules.check_held(actor, known(data.permissions), EVERYWHERE)
    _check_name(data.name)
    role = Role(name=data.name, description=data.description, permissions=data.permissions)
    db.session.add(role)
    db.session.flush()
    audit.record(actor, "role.created", role, {"permissions": [[], data.permissions]})
    return _views([role])[0]


@use_case(Permission.ROLES_MANAGE, fresh=True)
def update(actor: Actor, role_id: str, data: RolePatch) -> RoleView:
    """Change the fields that were sent; it counts from the next request of everybody who has the role."""
    role = locked(role_id)
    after = data.model_dump(exclude_unset=True, exclude_none=True)
    if "name" in after and after["name"].lower() != role.name.lower():
        _check_name(after["name"])
    if "permissions" in after:
        _check_change(actor, role, known(after["permissions"]))
    changes = audit.difference({key: getattr(role, key) for key in after}, after)
    for key, value in after.items():
        setattr(role, key, value)
    db.session.flush()
    if changes:
        audit.record(actor, "role.updated", role, changes)
    if "permissions" in changes:
        rights_changed()
    return _views([role])[0]


@use_case(Permission.ROLES_MANAGE, fresh=True)
def set_permissions(actor: Actor, role_id: str, data: PermissionsIn) -> RoleView:
    """Add permissions to a role, take some from it, or say all it holds."""
    now, asked = set(locked(role_id).permissions), set(data.permissions)
    after = {"add": now | asked, "remove": now - asked, "replace": asked}[data.mode]
    return update(actor, role_id, RolePatch(permissions=sorted(after & {p.value for p in GRANTABLE})))


@use_case(Permission.ROLES_MANAGE, fresh=True)
def delete(actor: Actor, role_id: str) -> None:
    """Delete a role; whoever has it loses it at once."""
    role = locked(role_id)
    rules.check_held(actor, known(role.permissions), EVERYWHERE)
    audit.record(actor, "role.deleted", role, {"permissions": [role.permissions, None]})
    for given in (Assignment, Guest):
        db.session.execute(remove(given).where(given.role_id == role.id))
    db.session.execute(remove(Role).where(Role.id == role.id))
    rights_changed()


def _check_name(name: str) -> None:
    taken = name.lower() in rules.BUILT_IN or db.session.scalar(
        select(Role.id).where(func.lower(Role.name) == name.lower())
    )
    if taken:
        raise Conflict(f"There is a role called {name} already. Choose another name.")


def _check_change(actor: Actor, role: Role, after: frozenset[Permission]) -> None:
    before = known(role.permissions)
    rules.check_held(actor, before ^ after, EVERYWHERE)
    beyond = sorted(p.value for p in after - before - TEAM_RIGHTS)
    placed = select(Assignment.id).where(Assignment.role_id == role.id, Assignment.scope != "global").limit(1)
    if beyond and (db.session.scalar(placed) or db.session.scalar(_guests(role.id))):
        raise Conflict(
            f"{role.name} is given on single teams or projects, where {', '.join(beyond)} means nothing. "
            "Make another role for it."
        )


def _guests(role_id: str) -> Any:
    return select(Guest.id).where(Guest.role_id == role_id).limit(1)
