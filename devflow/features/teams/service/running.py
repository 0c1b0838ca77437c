"""Make, rename and delete teams."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sqlalchemy import delete as remove
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from devflow.core.access import Actor, Permission
from devflow.core.clock import now
from devflow.core.db import db
from devflow.core.epoch import rights_changed
from devflow.core.errors import Conflict, Invalid
from devflow.core.use_case import emit, use_case
from devflow.features.accounts.service import people
from devflow.features.audit import service as audit
from devflow.features.roles.service import forgetting
from devflow.features.teams.events import TeamDeleted
from devflow.features.teams.models import Member, Team
from devflow.features.teams.rules import slug_from
from devflow.features.teams.schemas import TeamIn, TeamPatch
from devflow.features.teams.service import serving
from devflow.features.teams.service.finding import hold

TRIES = 5
"""How often a free slug is looked for while others take theirs."""


@use_case(Permission.TEAMS_CREATE)
def ensure_personal(actor: Actor, user_id: str, name: str) -> Team | None:
    """Everybody has a team of their own; made once. None when the account is gone by now."""
    team = db.session.scalar(select(Team).where(Team.personal_of == user_id))
    user = people.by_id(user_id)
    if team is None and user is not None:
        team = _add(user, None, name=name, personal_of=user_id)
    return team


@use_case(Permission.TEAMS_CREATE)
def create(actor: Actor, data: TeamIn) -> Team:
    """A new team, owned by whoever makes it."""
    if data.slug is not None:
        _check_free(data.slug)
    team = _add(people.find(actor.id), data.slug, name=data.name)
    audit.record(actor, "team.created", team)
    return team


def _add(owner: Any, slug: str | None, **fields: Any) -> Team:
    team = _with_slug(slug, fields) if slug else _with_free_slug(fields)
    db.session.add(
        Member(
            team_id=team.id, user_id=owner.id, email=owner.email, name=owner.name, role="owner", joined_at=now(),
        )
    )  # fmt: skip
    db.session.flush()
    return team


def _with_slug(slug: str, fields: dict[str, Any]) -> Team:
    team = Team(slug=slug, **fields)
    with db.session.begin_nested():
        db.session.add(team)
    return team


def _with_free_slug(fields: dict[str, Any]) -> Team:
    """Another team may take the slug between the look and the writing: then the next one is tried."""
    for _ in range(TRIES):
        with suppress(IntegrityError):
            return _with_slug(free_slug(fields["name"]), fields)
    raise Conflict("Many teams of this name are being made right now. Try again in a moment.")


def free_slug(name: str) -> str:
    """A slug from a team's name that no other team has."""
    first = slug_from(name)
    taken = set(db.session.scalars(select(Team.slug).where(Team.slug.startswith(first, autoescape=True))))
    slug, number = first, 1
    while slug in taken:
        number += 1
        slug = f"{first[:56]}-{number}"
    return slug


def _check_free(slug: str) -> None:
    if db.session.scalar(select(Team.id).where(Team.slug == slug)) is not None:
        raise Conflict(f"The short name {slug} is taken. Choose another one.")


@use_case(Permission.TEAMS_UPDATE, on=hold)
def change(actor: Actor, team: Team, data: TeamPatch) -> Team:
    """Change the fields that were sent."""
    after = data.model_dump(exclude_unset=True, exclude_none=True)
    changes = audit.difference({key: getattr(team, key) for key in after}, after)
    if "slug" in changes:
        _check_free(after["slug"])
    for key, value in after.items():
        setattr(team, key, value)
    if changes:
        audit.record(actor, "team.updated", team, changes)
    return team


@use_case(Permission.TEAMS_DELETE, on=hold, fresh=True)
def delete(actor: Actor, team: Team, confirm: str) -> None:
    """Delete a team with all it owns. Whoever asks has to write its name, or its slug."""
    if team.is_personal:
        raise Conflict(f"{team.name} is somebody's own team. It goes when their account is deleted.")
    if confirm.strip() not in (team.name, team.slug):
        text = "Write the name of the team to delete it."
        raise Invalid(text, {"confirm": [text]})
    close(actor, team)


def close(actor: Actor, team: Team) -> None:
    """Let a team disappear at once, in the running transaction; its things go when others hear of it."""
    audit.record(actor, "team.deleted", team)
    team.deleted_at = now()
    team.slug = f"deleted-{team.id}"  # the name is free from now on
    db.session.execute(update(Member).where(Member.team_id == team.id).values(digest=None))
    forgetting.forget_team(team.id)
    serving.end_all(actor, team.id)
    emit(TeamDeleted(team.id))
    rights_changed()


def closing() -> list[str]:
    """Teams that are gone for everybody while their things are still there."""
    return list(db.session.scalars(select(Team.id).where(Team.deleted_at.is_not(None)).order_by(Team.id)))


@use_case(Permission.TEAMS_DELETE)
def forget(actor: Actor, team_id: str) -> None:
    """Drop what is left of a deleted team, once all its things are gone."""
    db.session.execute(remove(Team).where(Team.id == team_id, Team.deleted_at.is_not(None)))
