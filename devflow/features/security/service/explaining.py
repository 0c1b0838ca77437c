"""Why somebody can or cannot do something: every role that says so, in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from devflow.core.access import DESCRIPTIONS, OPEN, SERVICE, SYSTEM_ROLES, TEAM_RIGHTS, TEAM_ROLES, Actor, Permission
from devflow.core.use_case import query, refusal, scope_for
from devflow.features.accounts.service.people import User
from devflow.features.roles.service import granting
from devflow.features.roles.service.vocabulary import known
from devflow.features.security.service import listing, places
from devflow.features.security.service.listing import Grant
from devflow.features.security.service.places import Place
from devflow.features.teams.service import finding as teams
from devflow.features.teams.service import rosters


@dataclass(frozen=True)
class Source:
    """One thing that allows it (`effect` allow), takes it away (deny), or would but does not (none)."""

    kind: str
    effect: str
    text: str
    role: str | None = None
    given_by: str | None = None
    given_at: datetime | None = None


@dataclass(frozen=True)
class Verdict:
    """The answer, with everything it rests on."""

    user_id: str
    name: str
    permission: str
    place: str
    allowed: bool
    text: str
    sources: list[Source]


@query(Permission.ACCOUNT_READ)
def why(actor: Actor, permission: Permission, key: str = "", user_id: str | None = None) -> Verdict:
    """Why somebody can or cannot do something in a place. Everybody may ask about themselves; about others, whoever
    gives roles there."""
    place = places.find(actor, key)
    if user_id and user_id != actor.id and not actor.may(Permission.ROLES_ASSIGN, place):
        raise refusal(actor, Permission.ROLES_ASSIGN, place)
    user = places.person(actor, place, user_id or actor.id)
    sources = [*_closed(user), *_token(actor, user, permission), *_open(permission), *_system(user, permission)]
    if place.team_id:
        sources += _membership(user, permission, place)
    sources += _given(user, permission, place)
    if permission not in TEAM_RIGHTS and not place.everywhere:
        sources.append(Source("place", "none", "It holds on the whole platform and on no single team or project."))
    allowed = user.is_active and _holds(actor, user, permission, place)
    return Verdict(
        user.id, user.name, permission.value, place.name, allowed, _told(user, permission, place, allowed), sources
    )


def _holds(actor: Actor, user: User, permission: Permission, place: Place) -> bool:
    """The very question that is asked when somebody acts."""
    if user.id == actor.id and actor.capped(permission):
        return False
    return teams.actor_of(user).may(permission, place.scope)


def _told(user: User, permission: Permission, place: Place, allowed: bool) -> str:
    what = DESCRIPTIONS[permission]
    where = "on this platform" if place.everywhere else f"on {place.name}"
    return f"{user.name} {'can' if allowed else 'cannot'} do this {where}: {what[:1].lower()}{what[1:]}"


def _closed(user: User) -> list[Source]:
    if user.is_active:
        return []
    return [Source("account", "deny", "The account is switched off, so nothing is allowed.")]


def _token(actor: Actor, user: User, permission: Permission) -> list[Source]:
    if user.id != actor.id or not actor.capped(permission):
        return []
    text = f"The token you ask with lacks the scope {scope_for(permission)}, or is limited to other places."
    return [Source("token", "deny", text)]


def _open(permission: Permission) -> list[Source]:
    return [Source("open", "allow", "Anybody may do this, signed in or not.")] if permission in OPEN else []


def _system(user: User, permission: Permission) -> list[Source]:
    if user.is_service:
        holds = permission in SERVICE
        text = f"A service account {'may do this for itself' if holds else 'holds it by no role on this platform'}."
        return [Source("system_role", "allow" if holds else "none", text, user.role)]
    holds = permission in SYSTEM_ROLES.get(user.role, frozenset())
    name = user.role.replace("_", " ")
    text = f"The role {name} on this platform {'allows it everywhere' if holds else 'does not hold it'}."
    return [Source("system_role", "allow" if holds else "none", text, user.role)]


def _membership(user: User, permission: Permission, place: Place) -> list[Source]:
    name = rosters.names([place.team_id]).get(place.team_id, "")
    member = next((one for one in rosters.of_person(user.id) if one.team_id == place.team_id), None)
    if member is None:
        return [Source("team_role", "none", f"{user.name} is no member of {name}.")]
    holds = permission in TEAM_ROLES.get(member.role, frozenset())
    text = f"As {member.title.lower()} of {name}, {user.name} {'may do it' if holds else 'may not do it'}."
    return [Source("team_role", "allow" if holds else "none", text, member.role)]


def _given(user: User, permission: Permission, place: Place) -> list[Source]:
    """The roles of one's own that hold this permission: those that count in this place, then those of other places."""
    holding = {
        role.id for _, role in [*granting.given(user.id), *granting.guest_roles(user.email)]
        if permission in known(role.permissions)
    }  # fmt: skip
    here, elsewhere = list[Source](), list[Source]()
    for grant in listing.grants_to(user):
        if grant.role_id in holding:
            counts = _reaches(grant, place)
            (here if counts else elsewhere).append(_source(grant, user, counts))
    return here + (elsewhere if place.everywhere else [])


def _reaches(grant: Grant, place: Place) -> bool:
    if grant.scope == "project":
        return grant.project_id == place.project_id
    return grant.scope == "global" or grant.team_id == place.team_id


def _source(grant: Grant, user: User, counts: bool) -> Source:
    by = f" by {grant.given_by}" if grant.given_by else ""
    where = "everywhere" if grant.scope == "global" else f"on the {grant.scope} {grant.place_name}"
    if grant.email and not user.email_verified:
        text = f"{grant.role_name} was given {where} to {grant.email}{by}, but this address is not verified yet."
        return Source("role", "none", text, grant.role_name, grant.given_by, grant.created_at)
    if grant.effect == "remove":
        text = f"What {grant.role_name} holds was taken away {where}{by}; that wins over every role."
    else:
        text = f"The role {grant.role_name} was given {where}{by}{' and allows it' if counts else ' only'}."
    effect = "none" if not counts else "deny" if grant.effect == "remove" else "allow"
    return Source("role", effect, text, grant.role_name, grant.given_by, grant.created_at)


@dataclass(frozen=True)
class Subject:
    """Whom and which place the question is about, before a permission is chosen, and where else it may be asked."""

    user: User
    place: Place
    elsewhere: list[Place]


@query(Permission.ACCOUNT_READ)
def subject(actor: Actor, key: str = "", user_id: str | None = None) -> Subject:
    """Who and what the form of this question shows."""
    place = places.find(actor, key)
    mine = user_id in (None, "", actor.id)
    if not mine and not actor.may(Permission.ROLES_ASSIGN, place):
        raise refusal(actor, Permission.ROLES_ASSIGN, place)
    user = places.person(actor, place, user_id or actor.id)
    choices = [places.PLATFORM] if mine or actor.may(Permission.ROLES_ASSIGN, places.PLATFORM) else []
    theirs = {one.team_id for one in rosters.of_person(user.id)}
    for team in teams.of_actor(actor):
        if mine or (team.id in theirs and actor.may(Permission.ROLES_ASSIGN, team)):
            choices.append(Place(team.id, None, team.name, team.slug))
    return Subject(user, place, choices if place in choices else [*choices, place])
