"""Find teams, and what an account may do because of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, func, select

from devflow.core.access import SERVICE, SYSTEM_ROLES, TEAM_ROLES, Actor, Permission, Scope
from devflow.core.db import db
from devflow.core.errors import Invalid, NotFound
from devflow.core.paging import Page, paginate
from devflow.core.use_case import query, refusal
from devflow.features.accounts.service.people import User
from devflow.features.roles.service import granting as roles
from devflow.features.teams.models import Member, Team
from devflow.features.teams.schemas import TeamListQuery

# Made once: to build a statement takes longer than to run it, and this one runs with every request.
_ACTIVE = (
    select(Member.team_id, Member.role)
    .join(Team, Team.id == Member.team_id)
    .where(Member.user_id == bindparam("user"), Member.status == "active", Team.deleted_at.is_(None))
    .order_by(Member.id)
)


def actor_of(user: User, **circumstances: Any) -> Actor:
    """The actor behind an account, with everything its roles allow. `circumstances` are fields of `Actor`."""
    granted = roles.grants_of(user.id)
    mine: dict[str, frozenset[Permission]] = {}
    for team, role in db.session.execute(_ACTIVE, {"user": user.id}):
        mine[team] = TEAM_ROLES.get(role, frozenset()) | granted.teams.get(team, frozenset())
    foreign = _living({team: rights for team, rights in granted.teams.items() if team not in mine})
    return Actor(
        id=user.id,
        name=user.name,
        email=user.email,
        role=user.role,
        roles=(user.role, *granted.names),
        teams=mine if user.is_service else {**mine, **foreign},
        projects=granted.projects,
        removed=granted.removed,
        platform=SERVICE if user.is_service else SYSTEM_ROLES.get(user.role, frozenset()) | granted.everywhere,
        service=user.is_service,
        **circumstances,
    )


def _living(granted: Mapping[str, frozenset[Permission]]) -> dict[str, frozenset[Permission]]:
    """What is granted in teams that are not being deleted."""
    if not granted:
        return {}
    there = db.session.scalars(select(Team.id).where(Team.id.in_(granted), Team.deleted_at.is_(None)))
    return {team: granted[team] for team in there}


def of_actor(actor: Actor) -> list[Team]:
    """The actor's teams, the personal one first."""
    ids = [team for team in actor.teams if actor.only_teams is None or team in actor.only_teams]
    if not ids:
        return []
    mine = select(Team).where(Team.id.in_(ids), Team.deleted_at.is_(None))
    return list(db.session.scalars(mine.order_by(Team.personal_of.is_(None), Team.id)))


def choose(actor: Actor, team_id: str | None, permission: Permission) -> str:
    """The team something new will belong to: the one asked for, else the actor's own."""
    if team_id is not None:
        team = find(actor, team_id)
        if not actor.may(permission, team):
            raise refusal(actor, permission, team)
        return team.id
    for team in of_actor(actor):
        if actor.may(permission, Scope(team.id)):
            return team.id
    raise Invalid("You belong to no team that may own this.", {"team_id": ["Choose a team."]})


def find(actor: Actor, team_id: str) -> Team:
    """A team by id or slug, if the actor may know of it."""
    team = db.session.get(Team, team_id) or db.session.scalar(select(Team).where(Team.slug == team_id))
    if team is None or team.deleted_at is not None or not actor.sees(Scope(team.id)):
        raise NotFound("There is no such team among yours.")
    return team


def hold(actor: Actor, team_id: str) -> Team:
    """The same to change it or who belongs to it: nobody else can until this transaction ends."""
    return locked(find(actor, team_id).id)


def locked(team_id: str) -> Team:
    """This team, held until the end of the transaction (SQLite has one writer anyway), or NotFound."""
    alone = select(Team).where(Team.id == team_id, Team.deleted_at.is_(None)).with_for_update()
    team = db.session.scalar(alone.execution_options(populate_existing=True))
    if team is None:
        raise NotFound("There is no such team among yours.")
    return team


def chosen(actor: Actor, wanted: str | None) -> Team | None:
    """The team a person looks at: the one they chose, else their own."""
    mine = of_actor(actor)
    return next((team for team in mine if team.id == wanted), mine[0] if mine else None)


def chosen_id(actor: Actor, wanted: str | None) -> str | None:
    """The id of that team."""
    team = chosen(actor, wanted)
    return team.id if team else None


@query(Permission.TEAMS_READ)
def search(actor: Actor, asked: TeamListQuery) -> Page[dict[str, Any]]:
    """The actor's teams, the personal one first, each with their role and how many belong to it."""
    ids = [team for team in actor.teams if actor.only_teams is None or team in actor.only_teams]
    mine = select(Team).where(Team.id.in_(ids), Team.deleted_at.is_(None))
    page = paginate(mine.order_by(Team.personal_of.is_(None), Team.id), asked)
    found = [team.id for team in page.items]
    active = (Member.team_id.in_(found), Member.status == "active")
    counted: Any = db.session.execute(select(Member.team_id, func.count()).where(*active).group_by(Member.team_id))
    counts = {row[0]: row[1] for row in counted}
    own: Any = db.session.execute(select(Member.team_id, Member.role).where(*active, Member.user_id == actor.id))
    roles_here = {row[0]: row[1] for row in own}
    return page.map(
        lambda team: {
            **{name: getattr(team, name) for name in ("id", "name", "slug", "is_personal", "created_at")},
            "role": roles_here.get(team.id, "custom"), "member_count": counts.get(team.id, 0),
        }
    )  # fmt: skip


@query(Permission.TEAMS_READ, on=find)
def show(actor: Actor, team: Team) -> Team:
    return team
