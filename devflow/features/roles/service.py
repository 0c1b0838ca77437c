"""Roles: find them, and what somebody is granted by them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import select

from devflow.core.access import Permission
from devflow.core.db import db
from devflow.features.roles.models import Assignment, Role

Rights = Mapping[str, frozenset[Permission]]
_KNOWN = {permission.value for permission in Permission}


@dataclass(frozen=True)
class Grants:
    """What the roles given to somebody come to: everywhere, by team, by project, and taken away by place."""

    everywhere: frozenset[Permission] = frozenset()
    teams: Rights = field(default_factory=dict)
    projects: Rights = field(default_factory=dict)
    removed: Rights = field(default_factory=dict)


def grants_of(user_id: str) -> Grants:
    """What this person's roles allow and take away, in one query."""
    mine = (
        select(Assignment.scope, Assignment.place, Assignment.effect, Role.permissions)
        .join(Role, Role.id == Assignment.role_id)
        .where(Assignment.user_id == user_id)
    )
    found: dict[str, dict[str, set[Permission]]] = defaultdict(lambda: defaultdict(set))
    for scope, place, effect, permissions in db.session.execute(mine):
        kind = "removed" if effect == "remove" else scope
        found[kind][place] |= {Permission(name) for name in permissions if name in _KNOWN}
    frozen = {kind: {place: frozenset(rights) for place, rights in places.items()} for kind, places in found.items()}
    return Grants(
        frozen.get("global", {}).get("", frozenset()),
        frozen.get("team", {}),
        frozen.get("project", {}),
        frozen.get("removed", {}),
    )
