"""Delete one's account: what becomes of the teams that only this person owns is decided by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from devflow.core.access import Actor, Permission
from devflow.core.db import db
from devflow.core.errors import Conflict, Invalid
from devflow.core.use_case import query, use_case
from devflow.features.accounts.service import closing, people
from devflow.features.accounts.service.guarding import Guard
from devflow.features.audit import service as audit
from devflow.features.teams.models import Member, Team
from devflow.features.teams.schemas import AccountCloseIn
from devflow.features.teams.service import running
from devflow.features.teams.service.membership import described, owners

DELETE = "delete"


@dataclass(frozen=True)
class Left:
    """A team that would be without an owner. `members` are those who could own it from now on."""

    team: Team
    members: list[dict[str, Any]]


@query(Permission.ACCOUNT_READ)
def left_behind(actor: Actor) -> list[Left]:
    """The teams nobody else owns, the personal one first; those without other members go with the account."""
    return [Left(team, described(_others(actor, team))) for team in _owned_alone(actor, hold=False)]


def _owned_alone(actor: Actor, *, hold: bool) -> list[Team]:
    mine = (Member.user_id == actor.id, Member.role == "owner", Member.status == "active")
    rows = select(Team).join(Member, Member.team_id == Team.id).where(*mine, Team.deleted_at.is_(None))
    rows = rows.order_by(Team.id).execution_options(populate_existing=True)
    teams = list(db.session.scalars(rows.with_for_update(of=Team) if hold else rows))
    alone = [team for team in teams if not owners(team.id, but=_place(actor, team).id) or team.personal_of == actor.id]
    return sorted(alone, key=lambda team: (not team.is_personal, team.id))


def _place(actor: Actor, team: Team) -> Member:
    place = select(Member).where(Member.team_id == team.id, Member.user_id == actor.id)
    return db.session.execute(place).scalar_one()


def _others(actor: Actor, team: Team) -> list[Member]:
    rows = select(Member).where(Member.team_id == team.id, Member.status == "active", Member.user_id != actor.id)
    rows = rows.where(Member.user_id.not_in(people.services()))  # which own nothing, and go with their team
    return list(db.session.scalars(rows.order_by(Member.id).execution_options(populate_existing=True)))


@query(Permission.ACCOUNT_MANAGE)
def close_account(actor: Actor, data: AccountCloseIn, guard: Guard) -> None:
    """Delete the actor's account with the teams nobody else is in. Raises Conflict while others would be left alone."""
    email = people.find(actor.id).email
    if data.confirm and data.confirm.strip().lower() != email:
        text = "Write your e-mail address to confirm."
        raise Invalid(text, {"confirm": [text]})
    closing.prove(actor, data.password, guard)  # slow on purpose, so no transaction is open
    _close(actor, data.teams)


@use_case(Permission.ACCOUNT_MANAGE)
def _close(actor: Actor, decided: dict[str, str]) -> None:
    open_questions = []
    for team in _owned_alone(actor, hold=True):
        others = _others(actor, team)
        choice = decided.get(team.id, "")
        heir = next((member for member in others if choice in (member.id, member.user_id)), None)
        if heir is not None:
            _hand_over(actor, team, heir)
        elif choice == DELETE or not others:
            running.close(actor, team)
        else:
            open_questions.append(team)
    if open_questions:
        names = ", ".join(team.name for team in open_questions)
        text = f"Other people work in {names}. Say who owns it from now on, or that it shall be deleted."
        raise Conflict(text, teams=[{"id": team.id, "name": team.name} for team in open_questions])
    closing.close(actor)


def _hand_over(actor: Actor, team: Team, heir: Member) -> None:
    before, heir.role = heir.role, "owner"
    if team.is_personal:
        team.personal_of = None
    name = people.names({heir.user_id or ""}).get(heir.user_id or "", heir.email)
    if before != "owner":
        audit.record(actor, "member.role_changed", heir, {"role": [before, "owner"]}, name=name)
