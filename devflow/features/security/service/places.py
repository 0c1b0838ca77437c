"""The places where something may be allowed, and the people one may speak about there."""

from __future__ import annotations

from dataclasses import dataclass

from devflow.core.access import EVERYWHERE, Actor, Permission, Scope
from devflow.core.errors import NotFound
from devflow.features.accounts.service import people
from devflow.features.accounts.service.people import User
from devflow.features.projects import service as projects
from devflow.features.roles.service import granting
from devflow.features.teams.service import finding as teams
from devflow.features.teams.service import rosters


@dataclass(frozen=True)
class Place:
    """A team, a project of it, or the whole platform (no team)."""

    team_id: str
    project_id: str | None
    name: str
    slug: str = ""

    @property
    def scope(self) -> Scope:
        """The place as `Actor.rights` asks for it."""
        return Scope(self.team_id, self.project_id)

    @property
    def key(self) -> str:
        """The place in one word, as `find` reads it."""
        return f"project:{self.project_id}" if self.project_id else f"team:{self.team_id}" if self.team_id else ""

    @property
    def everywhere(self) -> bool:
        """Is it the whole platform?"""
        return not self.team_id


PLATFORM = Place(EVERYWHERE.team_id, None, "this platform")


def find(actor: Actor, key: str) -> Place:
    """The place of a key: `team:<id or slug>`, `project:<id or slug>`, or "" for the whole platform."""
    kind, _, name = key.partition(":")
    if kind == "project":
        project = projects.find(actor, name)
        return Place(project.team_id, project.id, project.name, project.slug)
    if kind == "team":
        team = teams.find(actor, name)
        return Place(team.id, None, team.name, team.slug)
    if key:
        raise NotFound("There is no such place. Name a team or a project, or nothing for the whole platform.")
    return PLATFORM


def person(actor: Actor, place: Place, user_id: str) -> User:
    """Somebody this actor may speak about: themselves, people of the place, colleagues; administrators know all."""
    found = people.by_ids({user_id}).get(user_id)
    if found is None or not known(actor, place, found):
        raise NotFound("There is no such person among those you know.")
    return found


def known(actor: Actor, place: Place, user: User) -> bool:
    """May this actor know of this account?"""
    if user.id == actor.id or actor.everything or actor.may(Permission.USERS_READ):
        return True
    if place.team_id and any(one.user_id == user.id for one in rosters.of_teams([place.team_id])):
        return True
    if any(assignment.user_id == user.id for assignment, _ in granting.given_in(place.scope) if place.team_id):
        return True
    return colleague(actor, user.id)


def colleague(actor: Actor, user_id: str) -> bool:
    """Do they share a team whose members this actor may see?"""
    theirs = {one.team_id for one in rosters.of_person(user_id)}
    return any(actor.may(Permission.MEMBERS_READ, Scope(team)) for team in theirs & set(actor.teams))
