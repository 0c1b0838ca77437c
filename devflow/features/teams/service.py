"""Teams, and what an account may do because of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from devflow.core.access import SYSTEM_ROLES, TEAM_ROLES, Actor, Permission, Scope
from devflow.core.clock import now
from devflow.core.db import db
from devflow.core.errors import Invalid, NotFound
from devflow.core.use_case import query, refusal, use_case
from devflow.features.accounts.service import people
from devflow.features.accounts.service.people import User
from devflow.features.roles import service as roles
from devflow.features.teams.models import Member, Team
from devflow.features.teams.rules import slug_from


def actor_of(user: User, **circumstances: Any) -> Actor:
    """The actor behind an account, with everything its roles allow. `circumstances` are fields of `Actor`."""
    granted = roles.grants_of(user.id)
    mine: dict[str, frozenset[Permission]] = {}
    active = (
        select(Member.team_id, Member.role)
        .join(Team, Team.id == Member.team_id)
        .where(Member.user_id == user.id, Member.status == "active", Team.deleted_at.is_(None))
        .order_by(Member.id)
    )
    for team, role in db.session.execute(active):
        mine[team] = TEAM_ROLES.get(role, frozenset()) | granted.teams.get(team, frozenset())
    foreign = {team: rights for team, rights in granted.teams.items() if team not in mine}
    return Actor(
        id=user.id,
        name=user.name,
        email=user.email,
        role=user.role,
        teams={**mine, **foreign},
        projects=granted.projects,
        removed=granted.removed,
        platform=SYSTEM_ROLES.get(user.role, frozenset()) | granted.everywhere,
        **circumstances,
    )


@use_case(Permission.TEAMS_CREATE)
def ensure_personal(actor: Actor, user_id: str, name: str) -> Team:
    """Everybody has a team of their own; made once."""
    team = db.session.scalar(select(Team).where(Team.personal_of == user_id))
    if team is None:
        user = people.find(user_id)
        team = Team(name=name, slug=free_slug(name), personal_of=user_id)
        db.session.add(team)
        db.session.flush()
        db.session.add(Member(team_id=team.id, user_id=user_id, email=user.email, role="owner", joined_at=now()))
    return team


def free_slug(name: str) -> str:
    """A slug from a team's name that no other team has."""
    first = slug_from(name)
    taken = set(db.session.scalars(select(Team.slug).where(Team.slug.startswith(first, autoescape=True))))
    slug, number = first, 1
    while slug in taken:
        number += 1
        slug = f"{first[:56]}-{number}"
    return slug


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


@query(Permission.TEAMS_READ, on=find)
def show(actor: Actor, team: Team) -> Team:
    return team
