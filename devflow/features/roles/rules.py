"""Pure decisions about roles: the built-in ones, what may be given where, and by whom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from devflow.core.access import SYSTEM_ROLES, TEAM_RIGHTS, Actor, Permission, Scope
from devflow.core.errors import Forbidden, Invalid


@dataclass(frozen=True)
class RoleView:
    """A role, built-in or of one's own, as it is shown."""

    id: str
    name: str
    description: str
    permissions: tuple[str, ...]
    is_system: bool
    user_count: int
    created_at: datetime | None = None
    updated_at: datetime | None = None


BUILT_IN = {
    "user": "Everybody: an account, teams and tokens of one's own.",
    "approver": "Like user, and asked when something needs an approval.",
    "admin": "Runs this instance: accounts, roles, settings and every team's things.",
    "master_admin": "Like admin, and decides who is administrator.",
}
"""The roles on the whole platform; what they allow is in `core/access.py`."""

BUILT_IN_IDS = {name: str(uuid5(NAMESPACE_URL, f"devflow:role:{name}")) for name in BUILT_IN}
_NAMES = {role_id: name for name, role_id in BUILT_IN_IDS.items()}


def built_in(role_id: str) -> str | None:
    """The name of the built-in role with this id."""
    return _NAMES.get(role_id)


def view_of_built_in(name: str, count: int) -> RoleView:
    """A built-in role as it is shown; `count` people have it."""
    allowed = tuple(sorted(permission.value for permission in SYSTEM_ROLES[name]))
    return RoleView(BUILT_IN_IDS[name], name, BUILT_IN[name], allowed, True, count)


def known(names: Iterable[str]) -> frozenset[Permission]:
    """The permissions with these names; names of other versions of DevFlow count for nothing."""
    words = set(names)
    return frozenset(permission for permission in Permission if permission.value in words)


def lacking(actor: Actor, wanted: Iterable[Permission], place: Scope) -> list[str]:
    """The permissions among these that the actor does not hold in this place, or not by the token they came with."""
    if actor.everything:
        return []
    held = frozenset[Permission]() if narrower(actor, place) else actor.rights(place)
    return sorted(p.value for p in wanted if p not in held or actor.capped(p))


def narrower(actor: Actor, place: Scope) -> bool:
    """Is the token they came with good for single projects only, and this place more than that?"""
    return actor.only_projects is not None and not place.project_id


def check_held(actor: Actor, wanted: Iterable[Permission], place: Scope) -> None:
    """Nobody gives, takes or defines what they lack."""
    if missing := lacking(actor, wanted, place):
        listed = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise Forbidden(f"You do not hold {listed} here, so you cannot give or take it.", permission=missing[0])


def check_fits(wanted: Iterable[Permission]) -> None:
    """On a team or project only what can be allowed there may be given."""
    if wrong := sorted(p.value for p in wanted if p not in TEAM_RIGHTS):
        text = f"{', '.join(wrong[:3])} means nothing on a team or project. Give this role on the whole platform."
        raise Invalid(text, {"role_id": [text]})
