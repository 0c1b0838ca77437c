"""Who belongs to which teams, for features that show people or judge what they may do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select

from devflow.core.access import Actor, Permission, Scope
from devflow.core.db import db
from devflow.features.teams.models import Member, Team
from devflow.features.teams.rules import TITLES
from devflow.features.teams.service.finding import of_actor


@dataclass(frozen=True)
class Belonging:
    """An active member's place in a team."""

    team_id: str
    user_id: str
    role: str

    @property
    def title(self) -> str:
        """What the role is called for people."""
        return TITLES.get(self.role, self.role)


def of_teams(team_ids: Iterable[str]) -> list[Belonging]:
    """The active members of these teams, in the order they came."""
    return _found(Member.team_id.in_(list(team_ids)))


def of_person(user_id: str) -> list[Belonging]:
    """The teams somebody is an active member of."""
    return _found(Member.user_id == user_id)


def _found(where: Any) -> list[Belonging]:
    rows: Any = db.session.execute(
        select(Member.team_id, Member.user_id, Member.role)
        .join(Team, Team.id == Member.team_id)
        .where(where, Member.status == "active", Team.deleted_at.is_(None))
        .order_by(Member.id)
    )
    return [Belonging(*row) for row in rows]


def colleagues(actor: Actor) -> Select[str | None]:
    """The ids of everybody in the teams whose members this actor may see, as a condition for lists."""
    seen = [team.id for team in of_actor(actor) if actor.may(Permission.MEMBERS_READ, Scope(team.id))]
    return select(Member.user_id).where(Member.team_id.in_(seen), Member.status == "active")


def names(team_ids: Iterable[str]) -> dict[str, str]:
    """The names behind ids, for lists."""
    rows: Any = db.session.execute(select(Team.id, Team.name).where(Team.id.in_(list(team_ids))))
    return {row[0]: row[1] for row in rows}
