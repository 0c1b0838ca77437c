"""Who may do what: permissions, the roles that carry them, and the actor who asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Permission(StrEnum):
    """Everything that can be allowed, `resource:action`, in alphabetical order."""

    ACCOUNT_CREATE = "account:create"
    ACCOUNT_MANAGE = "account:manage"
    AUDIT_READ = "audit:read"
    CONTAINERS_READ = "containers:read"
    DEPLOYMENTS_CANCEL = "deployments:cancel"
    DEPLOYMENTS_CREATE = "deployments:create"
    DEPLOYMENTS_DELETE = "deployments:delete"
    DEPLOYMENTS_READ = "deployments:read"
    DEPLOYMENTS_RUN = "deployments:run"
    PLATFORM_MANAGE = "platform:manage"
    PROJECTS_CREATE = "projects:create"
    PROJECTS_DELETE = "projects:delete"
    PROJECTS_READ = "projects:read"
    PROJECTS_UPDATE = "projects:update"
    SESSIONS_CREATE = "sessions:create"
    TEAMS_CREATE = "teams:create"
    TEAMS_READ = "teams:read"


P = Permission
_VIEWER = frozenset({P.PROJECTS_READ, P.DEPLOYMENTS_READ, P.CONTAINERS_READ, P.TEAMS_READ})
_MEMBER = _VIEWER | {P.PROJECTS_CREATE, P.PROJECTS_UPDATE, P.DEPLOYMENTS_CREATE, P.DEPLOYMENTS_CANCEL}
_ADMIN = _MEMBER | {P.PROJECTS_DELETE, P.DEPLOYMENTS_DELETE, P.AUDIT_READ}

TEAM_ROLES: Mapping[str, frozenset[Permission]] = {
    "viewer": _VIEWER,
    "member": _MEMBER,
    "admin": _ADMIN,
    "owner": _ADMIN,
}
"""What a role inside a team allows on that team's things."""

SYSTEM_ROLES: Mapping[str, frozenset[Permission]] = {
    "user": frozenset({P.ACCOUNT_MANAGE}),
    "approver": frozenset({P.ACCOUNT_MANAGE}),
    "admin": frozenset({P.ACCOUNT_MANAGE, P.PLATFORM_MANAGE, P.AUDIT_READ}),
    "master_admin": frozenset({P.ACCOUNT_MANAGE, P.PLATFORM_MANAGE, P.AUDIT_READ}),
}
"""What a role on the whole platform allows; each includes the ones before it."""

OPEN = frozenset({P.ACCOUNT_CREATE, P.SESSIONS_CREATE})
"""What anybody may ask for, signed in or not."""


class Scoped(Protocol):
    """A thing that belongs to a team."""

    team_id: str


@dataclass(frozen=True)
class Actor:
    """Who acts. `teams` maps each of their teams to what they may do there; `platform` holds everywhere."""

    id: str
    name: str
    email: str = ""
    teams: Mapping[str, frozenset[Permission]] = field(default_factory=dict)
    platform: frozenset[Permission] = frozenset()
    ip: str = ""
    agent: str = ""
    request_id: str = ""
    session_id: str | None = None
    everything: bool = False

    @property
    def team_ids(self) -> tuple[str, ...]:
        return tuple(self.teams)

    def sees(self, thing: Scoped) -> bool:
        """May this actor know that the thing exists?"""
        return self.everything or thing.team_id in self.teams

    def may(self, permission: Permission, thing: Scoped | None = None) -> bool:
        """May they do this, to this thing or (without one) to anything at all?"""
        if self.everything or permission in self.platform or permission in OPEN:
            return True
        if thing is not None:
            return permission in self.teams.get(thing.team_id, frozenset())
        return any(permission in granted for granted in self.teams.values())


def anonymous(ip: str = "", agent: str = "", request_id: str = "") -> Actor:
    """Somebody who has not signed in."""
    return Actor(id="", name="Somebody", ip=ip, agent=agent, request_id=request_id)


SYSTEM = Actor(id="", name="DevFlow", everything=True)
"""DevFlow itself: workers and housekeeping."""
