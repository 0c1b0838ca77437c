"""Give roles to people in places, take them back, and take away what they hold there."""

from __future__ import annotations

from dataclasses import dataclass

from devflow.core.access import Actor, Permission
from devflow.core.addresses import is_service
from devflow.core.errors import Conflict, Forbidden, Invalid, NotFound
from devflow.core.settings import Settings
from devflow.core.use_case import query, use_case
from devflow.features.accounts.service import administering, people
from devflow.features.accounts.service.people import User
from devflow.features.accounts.service.verifying import require_verified
from devflow.features.roles.service import defining, giving, granting
from devflow.features.roles.service.vocabulary import BUILT_IN_IDS, built_in
from devflow.features.security.service import places, welcoming
from devflow.features.security.service.listing import Grant, grant_of, grants_to, guest_of
from devflow.features.security.service.places import Place
from devflow.features.teams.service import finding as teams
from devflow.features.teams.service import rosters


@dataclass(frozen=True)
class Named:
    id: str
    name: str


@dataclass(frozen=True)
class Holdings:
    """The roles somebody has in a place, from above too, and what they come to there."""

    user_id: str
    roles: list[Named]
    permissions: list[str]


@use_case(Permission.ROLES_ASSIGN, on=places.find, fresh=True)
def assign(actor: Actor, place: Place, user_id: str, role_id: str, effect: str = "grant") -> Holdings:
    """Give a role in a place, or (remove) take what it holds away there; doing it twice is doing it once."""
    _hold(place)
    user = places.person(actor, place, user_id)
    _check_of_the_team(place, user)
    if name := built_in(role_id):
        _check_built_in(place, effect)
        administering.set_role(actor, user.id, name)
    else:
        role = defining.locked(role_id)
        _check_may_withhold(actor, place, user, effect)
        giving.put(actor, user, role, place.scope, effect)
    return holdings(user, place)


@use_case(Permission.ROLES_ASSIGN, on=places.find, fresh=True)
def unassign(actor: Actor, place: Place, user_id: str, role_id: str) -> Holdings:
    """Take a role back that was given in this place, or end that it was taken away there."""
    user = places.person(actor, place, user_id)
    if name := built_in(role_id):
        _check_built_in(place, "grant")
        if user.role != name:
            raise NotFound(f"{user.name} is not {name} on this platform.")
        if name == "user":
            raise Conflict("Everybody is at least user. Switch the account off to keep somebody out.")
        administering.set_role(actor, user.id, "user")
    else:
        giving.take(actor, user, defining.locked(role_id), place.scope)
    return holdings(user, place)


@use_case(Permission.ROLES_ASSIGN, on=places.find, fresh=True)
def share(actor: Actor, place: Place, email: str, role_id: str, effect: str, settings: Settings) -> Grant:
    """Give a role by e-mail address: to somebody the actor knows, else to whoever owns this address, who gets a letter.

    Neither answer nor letter tells whether an unknown address has an account.
    """
    _hold(place)
    if built_in(role_id):
        _check_built_in(place, effect)
    role = defining.locked(role_id)
    user = people.by_email(email)
    if user is not None and places.known(actor, place, user):
        _check_of_the_team(place, user)
        _check_may_withhold(actor, place, user, effect)
        return grant_of(giving.put(actor, user, role, place.scope, effect), role, {place.scope: place.name})
    if place.project_id is None or is_service(email):
        text = "Only people of your teams can be named here. Invite others into the team, or share one project."
        raise Invalid(text, {"email": [text]})
    if effect == "remove":
        text = "Nothing can be taken away from somebody who does not belong here."
        raise Invalid(text, {"email": [text]})
    require_verified(actor, settings)
    guest, new = giving.invite(actor, email, role, place.scope)
    if new:
        welcoming.write(actor, guest.id, email, role.name, place)
    return guest_of(guest, role, place.name)


@use_case(Permission.ROLES_ASSIGN, on=places.find, fresh=True)
def withdraw(actor: Actor, place: Place, grant_id: str) -> None:
    """Undo one grant of this place by its id."""
    key = place.project_id or place.team_id
    if (given := giving.assignment(grant_id)) is not None and given.place == key:
        user = people.by_ids({given.user_id})[given.user_id]
        giving.take(actor, user, defining.locked(given.role_id), place.scope)
    elif (guest := giving.guest(grant_id)) is not None and guest.project_id == key:
        giving.uninvite(actor, guest, defining.locked(guest.role_id), place.scope)
    else:
        raise NotFound("This is given no more.")


@query(Permission.ROLES_READ)
def given_to(actor: Actor, user_id: str) -> list[Grant]:
    """Every role given to somebody, with its place."""
    return grants_to(administering.user(actor, user_id))


@query(Permission.ROLES_ASSIGN, on=places.find)
def offered(actor: Actor, place: Place) -> list[Named]:
    """The roles this actor may give in this place."""
    return [Named(role.id, role.name) for role in granting.of_place(actor, place.scope)]


def _hold(place: Place) -> None:
    """Keep the team's members as they are meanwhile: a grant must not outlive a removal at the same moment."""
    if place.team_id:
        teams.locked(place.team_id)


def holdings(user: User, place: Place) -> Holdings:
    """The roles that count for somebody in this place, and what they come to."""
    above = {"", place.team_id, place.project_id}
    mine = {role.id: role.name for one, role in granting.given(user.id) if one.effect == "grant" and one.place in above}
    own = [Named(key, name) for key, name in sorted(mine.items(), key=lambda item: item[1].lower())]
    rights = teams.actor_of(user).rights(place.scope) if user.is_active else frozenset()
    return Holdings(
        user.id, [Named(BUILT_IN_IDS[user.role], user.role), *own], sorted(permission.value for permission in rights)
    )


def _check_built_in(place: Place, effect: str) -> None:
    if not place.everywhere or effect == "remove":
        text = "A built-in role holds on the whole platform and can only be given there."
        raise Invalid(text, {"role_id": [text]})


def _check_of_the_team(place: Place, user: User) -> None:
    """A service account is given roles in its own team and on the projects of it, and nowhere else."""
    if user.is_service and place.team_id not in {one.team_id for one in rosters.of_person(user.id)}:
        raise Conflict(f"{user.name} is a service account of another place. It can be given roles in its team only.")


def _check_may_withhold(actor: Actor, place: Place, user: User, effect: str) -> None:
    """From owners nothing is taken away, and nobody takes anything from those who may do more than they do."""
    if effect == "grant" or actor.everything or place.everywhere:
        return
    if any(one.user_id == user.id and one.role == "owner" for one in rosters.of_teams([place.team_id])):
        raise Conflict(f"{user.name} owns the team. Give them a lesser role in the team first.")
    if not teams.actor_of(user).rights(place.scope) <= actor.rights(place.scope):
        raise Forbidden(
            f"{user.name} may do more than you here, so you cannot take anything away from them.",
            permission=Permission.ROLES_ASSIGN.value,
        )
