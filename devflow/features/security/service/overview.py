"""What an administrator sees of one account: teams, roles, and what could be given where."""

from __future__ import annotations

from dataclasses import dataclass

from devflow.core.access import EVERYWHERE, Actor, Permission
from devflow.core.use_case import query
from devflow.features.accounts.service import administering
from devflow.features.accounts.service.people import User
from devflow.features.projects import service as projects
from devflow.features.projects.schemas import ProjectQuery
from devflow.features.roles.service import granting
from devflow.features.security.service import listing
from devflow.features.security.service.assigning import Named
from devflow.features.security.service.listing import Grant
from devflow.features.teams.service import rosters


@dataclass(frozen=True)
class TeamPlace:
    """A team the person belongs to, with its projects."""

    id: str
    name: str
    role: str
    projects: list[Named]


@dataclass(frozen=True)
class Account:
    """One account as administrators see it."""

    user: User
    teams: list[TeamPlace]
    grants: list[Grant]
    offered: list[Named]


@query(Permission.USERS_READ)
def of_account(actor: Actor, user_id: str) -> Account:
    """An account with its teams, the roles given to it and those that this actor could give."""
    user = administering.user(actor, user_id)
    belongings = rosters.of_person(user.id)
    names = rosters.names(one.team_id for one in belongings)
    teams = [TeamPlace(one.team_id, names[one.team_id], one.title, _projects(actor, one.team_id)) for one in belongings]
    offered = [Named(role.id, role.name) for role in granting.of_place(actor, EVERYWHERE)]
    return Account(user, teams, listing.grants_to(user), offered)


def _projects(actor: Actor, team_id: str) -> list[Named]:
    asked = ProjectQuery(team_id=team_id, limit=100, sort="name", order="asc")
    return [Named(project.id, project.name) for project in projects.search(actor, asked).items]
