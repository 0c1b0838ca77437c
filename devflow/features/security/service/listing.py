"""Who can reach a place, and by what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from devflow.core.access import EVERYWHERE, Actor, Permission, Scope
from devflow.core.use_case import query
from devflow.features.accounts.service import people
from devflow.features.accounts.service.people import User
from devflow.features.projects import service as projects
from devflow.features.roles.service import granting
from devflow.features.security.service import places
from devflow.features.security.service.places import Place
from devflow.features.teams.service import rosters
from devflow.features.teams.service.rosters import Belonging


@dataclass(frozen=True)
class Grant:
    """A role given to somebody, or what it holds taken away from them, in one place."""

    id: str
    user_id: str | None
    email: str | None
    role_id: str
    role_name: str
    effect: str
    scope: str
    team_id: str | None
    project_id: str | None
    place_name: str
    given_by: str | None
    created_at: datetime


@dataclass
class Reach:
    """Somebody who can reach a place, and by what. A guest is known by the address alone."""

    user_id: str | None
    name: str
    email: str
    is_active: bool
    team_role: str | None = None
    team_title: str = ""
    grants: list[Grant] = field(default_factory=list)


def grant_of(given: Any, role: Any, names: Mapping[Scope, str], by: Mapping[str, str] | None = None) -> Grant:
    """An assignment as it is shown; `names` are those of the places, `by` those of the givers."""
    scope = Scope(given.team_id or "", given.project_id)
    return Grant(
        given.id, given.user_id, None, role.id, role.name, given.effect, given.scope, given.team_id,
        given.project_id, names.get(scope, ""), (by or people.names({given.given_by_id or ""})).get(
            given.given_by_id or ""
        ), given.created_at,
    )  # fmt: skip


def guest_of(guest: Any, role: Any, project_name: str, by: Mapping[str, str] | None = None) -> Grant:
    """A role given to an address, as it is shown: nothing of it tells whether there is such an account."""
    names = people.names({guest.given_by_id or ""}) if by is None else by
    return Grant(
        guest.id, None, guest.email, role.id, role.name, "grant", "project", guest.team_id, guest.project_id,
        project_name, names.get(guest.given_by_id or ""), guest.created_at,
    )  # fmt: skip


@query(Permission.ROLES_ASSIGN, on=places.find)
def reaching(actor: Actor, place: Place) -> list[Reach]:
    """Everybody who can reach a team or a project: its members, and those who were given a role there."""
    members = rosters.of_teams([place.team_id]) if place.team_id else []
    given = granting.given_in(place.scope)
    guests = granting.guests_of([place.project_id]) if place.project_id else []
    ids = {one.user_id for one in members} | {one.user_id for one, _ in given}
    accounts = people.by_ids(set(ids))
    by = _givers([*given, *guests])
    found = {one.user_id: _reach(accounts[one.user_id], one) for one in members if one.user_id in accounts}
    names = place_names([one for one, _ in given])
    for one, role in given:
        row = found.setdefault(one.user_id, _reach(accounts[one.user_id], None))
        row.grants.append(grant_of(one, role, names, by))
    outside: dict[str, Reach] = {}
    for guest, role in guests:
        row = outside.setdefault(guest.email, Reach(None, guest.email, guest.email, True))
        row.grants.append(guest_of(guest, role, place.name, by))
    return [*found.values(), *outside.values()]


def _givers(given: list[tuple[Any, Any]]) -> dict[str, str]:
    return people.names({one.given_by_id for one, _ in given if one.given_by_id})


def _reach(user: User, member: Belonging | None) -> Reach:
    reach = Reach(user.id, user.name, user.email, user.is_active)
    if member is not None:
        reach.team_role, reach.team_title = member.role, member.title
    return reach


def grants_to(user: User) -> list[Grant]:
    """Every role given to this person, to their account or their address, newest first."""
    given, guests = granting.given(user.id), granting.guest_roles(user.email)
    by = _givers([*given, *guests])
    names = place_names([one for one, _ in [*given, *guests]])
    found = [grant_of(one, role, names, by) for one, role in given]
    found += [guest_of(one, role, names[Scope(one.team_id, one.project_id)], by) for one, role in guests]
    return sorted(found, key=lambda grant: grant.created_at, reverse=True)


def place_names(given: list[Any]) -> dict[Scope, str]:
    """What the places of these grants are called."""
    teams = rosters.names({one.team_id for one in given if one.team_id})
    known = projects.by_ids({one.project_id for one in given if one.project_id})
    found = {EVERYWHERE: "this platform"}
    for one in given:
        scope = Scope(one.team_id or "", one.project_id)
        project = known.get(one.project_id or "")
        if scope.project_id:
            found[scope] = project.name if project else ""
        elif scope.team_id:
            found[scope] = teams.get(scope.team_id, "")
    return found
