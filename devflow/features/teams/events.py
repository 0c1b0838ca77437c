"""Facts about teams."""

from __future__ import annotations

from dataclasses import dataclass

from devflow.core.events import fact


@fact
@dataclass(frozen=True)
class MemberJoined:
    team_id: str
    user_id: str
    role: str


@fact
@dataclass(frozen=True)
class MemberRemoved:
    """Somebody left the team or was removed from it."""

    team_id: str
    user_id: str


@fact
@dataclass(frozen=True)
class TeamDeleted:
    """The team is gone for everybody; what belongs to it still has to go."""

    team_id: str
