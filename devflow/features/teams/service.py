"""Teams, and what an account may do because of them."""

from __future__ import annotations

from sqlalchemy import select

from devflow.core.access import SYSTEM_ROLES, TEAM_ROLES, Actor, Permission
from devflow.core.db import db
from devflow.core.errors import Invalid, NotFound
from devflow.core.use_case import query, use_case
from devflow.features.accounts import service as accounts
from devflow.features.teams.models import Member, Team


def actor_of(
    user_id: str, *, ip: str = "", agent: str = "", request_id: str = "", session_id: str | None = None
) -> Actor:
    """The actor behind an account, with everything its roles allow."""
    user = accounts.find(user_id)
    mine = select(Member.team_id, Member.role).where(Member.user_id == user_id).order_by(Member.id)
    granted = {team: TEAM_ROLES.get(role, frozenset()) for team, role in db.session.execute(mine)}
    return Actor(
        id=user.id,
        name=user.name,
        email=user.email,
        teams=granted,
        platform=SYSTEM_ROLES.get(user.role, frozenset()),
        ip=ip,
        agent=agent,
        request_id=request_id,
        session_id=session_id,
    )


@use_case(Permission.TEAMS_CREATE)
def ensure_personal(actor: Actor, user_id: str, name: str) -> Team:
    """Everybody has a team of their own; made once."""
    team = db.session.scalar(select(Team).where(Team.personal_of == user_id))
    if team is None:
        team = Team(name=name, personal_of=user_id)
        db.session.add(team)
        db.session.flush()
        db.session.add(Member(team_id=team.id, user_id=user_id, role="owner"))
    return team


def of_actor(actor: Actor) -> list[Team]:
    """The actor's teams, the personal one first."""
    if not actor.teams:
        return []
    mine = select(Team).where(Team.id.in_(actor.teams)).order_by(Team.personal_of.is_(None), Team.id)
    return list(db.session.scalars(mine))


def choose(actor: Actor, team_id: str | None, permission: Permission) -> str:
    """The team something new will belong to: the one asked for, else the actor's own."""
    if team_id is not None:
        if team_id not in actor.teams:
            raise NotFound("There is no such team among yours.")
        return team_id
    for team in of_actor(actor):
        if permission in actor.teams[team.id]:
            return team.id
    raise Invalid("You belong to no team that may own this.", {"team_id": ["Choose a team."]})


@query(Permission.TEAMS_READ)
def find(actor: Actor, team_id: str) -> Team:
    """A team of the actor's."""
    team = db.session.get(Team, team_id)
    if team is None or not (actor.everything or team.id in actor.teams):
        raise NotFound("There is no such team among yours.")
    return team
