"""Give a role to somebody in one place, or take it back. Who may is decided above, where places are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select

from devflow.core.access import EVERYWHERE, Actor, Scope
from devflow.core.db import db
from devflow.core.epoch import rights_changed
from devflow.core.errors import Invalid, NotFound
from devflow.features.accounts.service.people import User
from devflow.features.audit import service as audit
from devflow.features.roles import rules
from devflow.features.roles.models import Assignment, Guest, Role
from devflow.features.roles.rules import known

EFFECTS = ("grant", "remove")


@dataclass(frozen=True)
class _Whom:
    """Whom the ledger names, in the team whose matter it is."""

    id: str
    name: str
    team_id: str | None


def check(actor: Actor, role: Role, place: Scope, effect: str = "grant") -> None:
    """Raises Invalid where the role means nothing in this place, and Forbidden where the actor lacks what it holds."""
    if place == EVERYWHERE and effect == "remove":
        text = "Name the team or project where this role is taken away."
        raise Invalid(text, {"effect": [text]})
    rules.check_held(actor, known(role.permissions), place)
    if place != EVERYWHERE:
        rules.check_fits(known(role.permissions))


def put(actor: Actor, user: User, role: Role, place: Scope, effect: str) -> Assignment:
    """Give (or take away) the role in this place; doing it twice is doing it once. The role is locked by the caller."""
    check(actor, role, place, effect)
    found = _in_place(user.id, role.id, place)
    if found is not None and found.effect == effect:
        return found
    if found is None:
        found = Assignment(
            user_id=user.id, role_id=role.id, scope=scope_of(place), place=place.project_id or place.team_id,
            team_id=place.team_id or None, project_id=place.project_id,
        )  # fmt: skip
        db.session.add(found)
    found.effect, found.given_by_id = effect, actor.id or None
    db.session.flush()
    _written(actor, "user.role_given" if effect == "grant" else "user.role_withheld", user, role, place)
    return found


def take(actor: Actor, user: User, role: Role, place: Scope) -> None:
    """Undo what was given or taken away in this place."""
    check(actor, role, place)
    found = _in_place(user.id, role.id, place)
    if found is None:
        raise NotFound(f"{user.name} does not have the role {role.name} there.")
    db.session.delete(found)
    action = "user.role_taken" if found.effect == "grant" else "user.role_restored"
    _written(actor, action, user, role, place)


def invite(actor: Actor, email: str, role: Role, place: Scope) -> tuple[Guest, bool]:
    """Give the role on one project to whoever owns an address. Also tells whether it is new to this address."""
    check(actor, role, place)
    assert place.project_id is not None
    mine = select(Guest).where(Guest.email == email, Guest.role_id == role.id, Guest.project_id == place.project_id)
    if (found := db.session.scalar(mine)) is not None:
        return found, False
    made = Guest(
        email=email, role_id=role.id, team_id=place.team_id, project_id=place.project_id, given_by_id=actor.id or None
    )
    db.session.add(made)
    db.session.flush()
    _written(actor, "guest.added", _Whom(made.id, email, place.team_id), role, place)
    return made, True


def uninvite(actor: Actor, guest: Guest, role: Role, place: Scope) -> None:
    """Take a role back that was given by address."""
    check(actor, role, place)
    db.session.execute(delete(Guest).where(Guest.id == guest.id))
    _written(actor, "guest.removed", _Whom(guest.id, guest.email, place.team_id), role, place)


def guest(guest_id: str) -> Guest | None:
    """A role given by address, by its id."""
    return db.session.get(Guest, guest_id)


def assignment(assignment_id: str) -> Assignment | None:
    """A role given to an account, by its id."""
    return db.session.get(Assignment, assignment_id)


def scope_of(place: Scope) -> str:
    """The word for how far a place reaches: global, team or project."""
    return "project" if place.project_id else "team" if place.team_id else "global"


def _in_place(user_id: str, role_id: str, place: Scope) -> Assignment | None:
    key = place.project_id or place.team_id
    mine = select(Assignment).where(
        Assignment.user_id == user_id, Assignment.role_id == role_id, Assignment.place == key
    )
    return db.session.scalar(mine)


def _written(actor: Actor, action: str, whom: Any, role: Role, place: Scope) -> None:
    named = _Whom(whom.id, getattr(whom, "name", ""), place.team_id or None)
    where = {"project_id": [None, place.project_id]} if place.project_id else {}
    audit.record(actor, action, named, {"role": [None, role.name], "scope": [None, scope_of(place)], **where})
    rights_changed()
