"""What somebody is granted by the roles given to them, and who has been given which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, String, bindparam, func, literal, select, union_all

from devflow.core.access import EVERYWHERE, TEAM_RIGHTS, Actor, Permission, Scope
from devflow.core.db import db
from devflow.features.accounts.service.people import User
from devflow.features.roles import rules
from devflow.features.roles.models import Assignment, Guest, Role
from devflow.features.roles.rules import known

Rights = Mapping[str, frozenset[Permission]]


@dataclass(frozen=True)
class Grants:
    """What the roles given to somebody come to: everywhere, by team, by project, and taken away by place.

    `names` are the roles that hold on the whole platform.
    """

    everywhere: frozenset[Permission] = frozenset()
    teams: Rights = field(default_factory=dict)
    projects: Rights = field(default_factory=dict)
    removed: Rights = field(default_factory=dict)
    names: tuple[str, ...] = ()


def grants_of(user_id: str) -> Grants:
    """What this person's roles allow and take away, in one query."""
    found: dict[str, dict[str, set[Permission]]] = defaultdict(lambda: defaultdict(set))
    names = set()
    for scope, place, effect, name, permissions in db.session.execute(_GIVEN, {"user": user_id}):
        kind = "removed" if effect == "remove" else scope
        allowed = known(permissions)
        found[kind][place] |= allowed if scope == "global" else allowed & TEAM_RIGHTS
        if kind == "global":
            names.add(name)
    frozen = {kind: {place: frozenset(rights) for place, rights in places.items()} for kind, places in found.items()}
    return Grants(
        frozen.get("global", {}).get("", frozenset()),
        frozen.get("team", {}),
        frozen.get("project", {}),
        frozen.get("removed", {}),
        tuple(sorted(names)),
    )


def _given_to(user_id: Any) -> Any:
    columns = (Role.name, Role.permissions)
    mine = (
        select(Assignment.scope, Assignment.place, Assignment.effect, *columns)
        .join(Role, Role.id == Assignment.role_id)
        .where(Assignment.user_id == user_id)
    )
    by_address = (
        select(literal("project", String), Guest.project_id, literal("grant", String), *columns)
        .join(Role, Role.id == Guest.role_id)
        .join(User, User.email == Guest.email)
        .where(User.id == user_id, User.email_verified)  # who has not proved to own the address is no guest by it
    )
    return union_all(mine, by_address)


# Made once: to build a statement takes longer than to run it, and this one runs with every request.
_GIVEN = _given_to(bindparam("user"))


def of_place(actor: Actor, place: Scope) -> list[Role]:
    """The roles this actor may give in a place: those that mean something there and hold nothing the actor lacks."""
    rows = list(db.session.scalars(select(Role).order_by(func.lower(Role.name), Role.id)))
    return [role for role in rows if _may_give(actor, known(role.permissions), place)]


def _may_give(actor: Actor, wanted: frozenset[Permission], place: Scope) -> bool:
    return (place == EVERYWHERE or wanted <= TEAM_RIGHTS) and not rules.lacking(actor, wanted, place)


def given(user_id: str) -> list[tuple[Assignment, Role]]:
    """Every role given to somebody, or taken away, with its place; the newest first."""
    return _with_roles(Assignment.user_id == user_id)


def given_in(place: Scope) -> list[tuple[Assignment, Role]]:
    """Every role given in a place; for a project also those of its team."""
    places = [place.team_id] + ([place.project_id] if place.project_id else [])
    return _with_roles(Assignment.place.in_(places))


def _with_roles(where: ColumnElement[bool]) -> list[tuple[Assignment, Role]]:
    rows = select(Assignment, Role).join(Role, Role.id == Assignment.role_id).where(where)
    found: Any = db.session.execute(rows.order_by(Assignment.id.desc()))
    return [(row[0], row[1]) for row in found]


def guests_of(project_ids: Iterable[str]) -> list[tuple[Guest, Role]]:
    """Roles given on these projects by address."""
    return _guests_with_roles(Guest.project_id.in_(list(project_ids)))


def guest_roles(email: str) -> list[tuple[Guest, Role]]:
    """Roles given to this address."""
    return _guests_with_roles(Guest.email == email)


def _guests_with_roles(where: ColumnElement[bool]) -> list[tuple[Guest, Role]]:
    rows = select(Guest, Role).join(Role, Role.id == Guest.role_id).where(where).order_by(Guest.id.desc())
    found: Any = db.session.execute(rows)
    return [(row[0], row[1]) for row in found]
