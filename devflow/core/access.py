"""Who may do what: permissions, the roles that carry them, and the actor who asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Permission(StrEnum):
    """Everything that can be allowed, `resource:action`, in alphabetical order."""

    ACCOUNT_CREATE = "account:create"
    ACCOUNT_MANAGE = "account:manage"
    ACCOUNT_READ = "account:read"
    ACCOUNT_RECOVER = "account:recover"
    AUDIT_READ = "audit:read"
    CONTAINERS_READ = "containers:read"
    DEPLOYMENTS_CANCEL = "deployments:cancel"
    DEPLOYMENTS_CREATE = "deployments:create"
    DEPLOYMENTS_DELETE = "deployments:delete"
    DEPLOYMENTS_READ = "deployments:read"
    DEPLOYMENTS_RUN = "deployments:run"
    INVITATIONS_READ = "invitations:read"
    MEMBERS_MANAGE = "members:manage"
    MEMBERS_READ = "members:read"
    PLATFORM_MANAGE = "platform:manage"
    PROJECTS_CREATE = "projects:create"
    PROJECTS_DELETE = "projects:delete"
    PROJECTS_READ = "projects:read"
    PROJECTS_UPDATE = "projects:update"
    ROLES_ASSIGN = "roles:assign"
    ROLES_MANAGE = "roles:manage"
    ROLES_READ = "roles:read"
    SESSIONS_CREATE = "sessions:create"
    TEAMS_CREATE = "teams:create"
    TEAMS_DELETE = "teams:delete"
    TEAMS_READ = "teams:read"
    TEAMS_UPDATE = "teams:update"
    TOKENS_MANAGE = "tokens:manage"
    TOKENS_READ = "tokens:read"
    TOKENS_VERIFY = "tokens:verify"
    USERS_MANAGE = "users:manage"
    USERS_PROMOTE = "users:promote"
    USERS_READ = "users:read"


P = Permission
DESCRIPTIONS: Mapping[Permission, str] = {
    P.ACCOUNT_CREATE: "Create an account of one's own.",
    P.ACCOUNT_MANAGE: "Change one's own profile, password and sessions.",
    P.ACCOUNT_READ: "See one's own account.",
    P.ACCOUNT_RECOVER: "Ask for a letter to get back into one's own account.",
    P.AUDIT_READ: "Read who changed what, and when.",
    P.CONTAINERS_READ: "See which containers run and what they use.",
    P.DEPLOYMENTS_CANCEL: "Stop a deployment that is on its way.",
    P.DEPLOYMENTS_CREATE: "Deploy, redeploy and roll back.",
    P.DEPLOYMENTS_DELETE: "Delete finished deployments with their logs.",
    P.DEPLOYMENTS_READ: "See deployments and their logs.",
    P.DEPLOYMENTS_RUN: "Carry a deployment out; DevFlow itself does this.",
    P.INVITATIONS_READ: "Look at an invitation by its link.",
    P.MEMBERS_MANAGE: "Invite people, change their role in the team, remove them.",
    P.MEMBERS_READ: "See who belongs to the team.",
    P.PLATFORM_MANAGE: "Change the rules of this instance and see how it is.",
    P.PROJECTS_CREATE: "Create projects.",
    P.PROJECTS_DELETE: "Delete projects with everything they hold.",
    P.PROJECTS_READ: "See projects and their settings, secrets excepted.",
    P.PROJECTS_UPDATE: "Change settings and variables of projects.",
    P.ROLES_ASSIGN: "Give roles to people and take them away.",
    P.ROLES_MANAGE: "Define roles and what they allow.",
    P.ROLES_READ: "See all roles and what they allow.",
    P.SESSIONS_CREATE: "Sign in.",
    P.TEAMS_CREATE: "Create teams.",
    P.TEAMS_DELETE: "Delete a team with everything it owns.",
    P.TEAMS_READ: "See the team.",
    P.TEAMS_UPDATE: "Rename the team and change its settings.",
    P.TOKENS_MANAGE: "Create, rotate and revoke one's own API tokens.",
    P.TOKENS_READ: "See one's own API tokens and their use.",
    P.TOKENS_VERIFY: "Ask whose the token in use is, and revoke it; every token may.",
    P.USERS_MANAGE: "Switch accounts off and on.",
    P.USERS_PROMOTE: "Change anybody's role on the platform.",
    P.USERS_READ: "See all accounts.",
}
"""What each permission lets somebody do, for people who put roles together."""

OPEN = frozenset({P.ACCOUNT_CREATE, P.ACCOUNT_RECOVER, P.INVITATIONS_READ, P.SESSIONS_CREATE})
"""What anybody may ask for, signed in or not."""

_VIEWER = frozenset({P.PROJECTS_READ, P.DEPLOYMENTS_READ, P.CONTAINERS_READ, P.TEAMS_READ, P.MEMBERS_READ})
_MEMBER = _VIEWER | {P.PROJECTS_CREATE, P.PROJECTS_UPDATE, P.DEPLOYMENTS_CREATE, P.DEPLOYMENTS_CANCEL}
_ADMIN = _MEMBER | {
    P.PROJECTS_DELETE, P.DEPLOYMENTS_DELETE, P.AUDIT_READ, P.MEMBERS_MANAGE, P.ROLES_ASSIGN, P.TEAMS_UPDATE,
}  # fmt: skip
_OWNER = _ADMIN | {P.TEAMS_DELETE}

TEAM_ROLES: Mapping[str, frozenset[Permission]] = {
    "viewer": _VIEWER,
    "member": _MEMBER,
    "admin": _ADMIN,
    "owner": _OWNER,
}
"""What a role inside a team allows on that team's things, from the least to the most."""

TEAM_RIGHTS = _OWNER | {P.DEPLOYMENTS_RUN}
"""Everything that can be allowed on a team's things; who holds any of it there may know that the thing exists."""

_USER = frozenset({P.ACCOUNT_MANAGE, P.ACCOUNT_READ, P.TEAMS_CREATE, P.TOKENS_MANAGE, P.TOKENS_READ, P.TOKENS_VERIFY})
SERVICE = frozenset({P.ACCOUNT_READ, P.TOKENS_MANAGE, P.TOKENS_READ, P.TOKENS_VERIFY})
"""What a service account may beside its team: say who it is, and look after tokens no wider than its own."""

_PLATFORM_ADMIN = frozenset(P) - OPEN - {P.USERS_PROMOTE, P.DEPLOYMENTS_RUN}

SYSTEM_ROLES: Mapping[str, frozenset[Permission]] = {
    "user": _USER,
    "approver": _USER,
    "admin": _PLATFORM_ADMIN,
    "master_admin": _PLATFORM_ADMIN | {P.USERS_PROMOTE},
}
"""What a role on the whole platform allows; each includes the ones before it."""

GRANTABLE = frozenset(p for granted in (*SYSTEM_ROLES.values(), *TEAM_ROLES.values()) for p in granted)
"""What a role of one's own may hold: everything that anybody holds. The rest is open to all, or DevFlow's own work."""

_SCOPE_ADMIN = frozenset(
    {P.AUDIT_READ, P.PLATFORM_MANAGE, P.ROLES_ASSIGN, P.ROLES_MANAGE, P.ROLES_READ}
    | {P.USERS_MANAGE, P.USERS_PROMOTE, P.USERS_READ, P.MEMBERS_MANAGE, P.TEAMS_DELETE}
)  # fmt: skip
_SCOPE_DEPLOY = frozenset({P.DEPLOYMENTS_CREATE, P.DEPLOYMENTS_CANCEL})
_SCOPE_READ = frozenset(p for p in P if p.value.endswith(":read")) - _SCOPE_ADMIN

SCOPES: Mapping[str, frozenset[Permission]] = {
    "read": _SCOPE_READ,
    "write": frozenset(P) - OPEN - _SCOPE_READ - _SCOPE_DEPLOY - _SCOPE_ADMIN - {P.DEPLOYMENTS_RUN, P.TOKENS_VERIFY},
    "deploy": _SCOPE_DEPLOY,
    "admin": _SCOPE_ADMIN,
}
"""The coarse words an API token may carry; a scope may also be the name of one permission."""


def allowed_by(scopes: Iterable[str]) -> frozenset[Permission]:
    """What a token with these scopes allows at most. Raises ValueError on an unknown scope."""
    found = {P.TOKENS_VERIFY}
    for scope in scopes:
        found |= SCOPES[scope] if scope in SCOPES else {Permission(scope)}
    return frozenset(found)


def scope_for(permission: Permission) -> str:
    """The coarse scope that allows this."""
    return next((word for word, allowed in SCOPES.items() if permission in allowed), permission.value)


class Scoped(Protocol):
    """A thing that belongs to a team; `project_id` names its project if it has one."""

    @property
    def team_id(self) -> str: ...


@dataclass(frozen=True)
class Scope:
    """A place where something may be allowed: a team, or one project of it."""

    team_id: str
    project_id: str | None = None


EVERYWHERE = Scope("")
"""No place in particular: only what holds on the whole platform counts here."""

_NOTHING: frozenset[Permission] = frozenset()


@dataclass(frozen=True)
class Actor:
    """Who acts, and everything they may do.

    `teams` maps each of their teams to what they may do there, `projects` single projects to what more they may do
    on them, `removed` teams and projects to what was expressly taken away there; `platform` holds everywhere.
    `cap` and `only_*` are the limits of the API token they came with, if they did.
    """

    id: str
    name: str
    email: str = ""
    role: str = "user"
    roles: tuple[str, ...] = ()
    """The names of all roles that hold for them on the whole platform."""
    teams: Mapping[str, frozenset[Permission]] = field(default_factory=dict)
    projects: Mapping[str, frozenset[Permission]] = field(default_factory=dict)
    removed: Mapping[str, frozenset[Permission]] = field(default_factory=dict)
    platform: frozenset[Permission] = _NOTHING
    cap: frozenset[Permission] | None = None
    only_teams: frozenset[str] | None = None
    only_projects: frozenset[str] | None = None
    ip: str = ""
    agent: str = ""
    request_id: str = ""
    session_id: str | None = None
    token_id: str | None = None
    until: datetime | None = None
    """When that token ends, if it ever does."""
    fresh: bool = True
    """Has this person proved who they are a short while ago?"""
    everything: bool = False
    service: bool = False
    """Is it a service account and no person?"""

    @property
    def team_ids(self) -> tuple[str, ...]:
        return tuple(self.teams)

    def rights(self, thing: Scoped) -> frozenset[Permission]:
        """What their roles allow on this thing, whatever the token says."""
        team, project = thing.team_id, getattr(thing, "project_id", None) or ""
        if self.only_teams is not None and team not in self.only_teams:
            return _NOTHING
        if self.only_projects is not None and project and project not in self.only_projects:
            return _NOTHING
        held = self.platform | self.teams.get(team, _NOTHING) | self.projects.get(project, _NOTHING)
        return held - self.removed.get(team, _NOTHING) - self.removed.get(project, _NOTHING)

    def sees(self, thing: Scoped) -> bool:
        """May this actor know that the thing exists?"""
        return self.everything or bool(self.rights(thing) & TEAM_RIGHTS)

    def may(self, permission: Permission, thing: Scoped | None = None) -> bool:
        """May they do this, to this thing or (without one) to anything at all?"""
        if self.everything or permission in OPEN:
            return True
        return not self.capped(permission) and self.holds(permission, thing)

    def capped(self, permission: Permission) -> bool:
        """Does the token they came with lack the scope for this?"""
        return self.cap is not None and permission not in self.cap

    def holds(self, permission: Permission, thing: Scoped | None = None) -> bool:
        """Do their roles allow this, whatever the token says?"""
        if thing is not None:
            return permission in self.rights(thing)
        places = (self.platform, *self.teams.values(), *self.projects.values())
        return any(permission in granted for granted in places)


def anonymous(ip: str = "", agent: str = "", request_id: str = "") -> Actor:
    """Somebody who has not signed in."""
    return Actor(id="", name="Somebody", ip=ip, agent=agent, request_id=request_id)


SYSTEM = Actor(id="", name="DevFlow", everything=True)
"""DevFlow itself: workers and housekeeping."""
