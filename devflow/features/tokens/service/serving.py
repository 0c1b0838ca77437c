"""The tokens of service accounts, which those who manage the account make and see."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import case, func, select

from devflow.core.access import Actor, Permission
from devflow.core.db import db
from devflow.core.errors import Conflict, Invalid
from devflow.core.paging import Page
from devflow.core.use_case import query, use_case
from devflow.features.teams import service as teams
from devflow.features.teams.service import serving
from devflow.features.teams.service.serving import ServiceAccount
from devflow.features.tokens.models import ApiToken
from devflow.features.tokens.schemas import TokenIn, TokenQuery
from devflow.features.tokens.service import owning
from devflow.features.tokens.service.owning import Made

P = Permission


@query(P.MEMBERS_MANAGE, on=serving.find)
def search(actor: Actor, account: ServiceAccount, asked: TokenQuery) -> Page[ApiToken]:
    """The tokens of a service account, newest first, whoever made them."""
    return owning.of(account.id, asked)


@use_case(P.MEMBERS_MANAGE, on=serving.hold, fresh=True)
def create(actor: Actor, account: ServiceAccount, data: TokenIn, max_days: int) -> Made:
    """A token of a service account, which reaches its team and nothing else."""
    serving.check_may_act(actor, account)
    if not account.is_active:
        raise Conflict(f"{account.name} is switched off. Switch it on first.", code="INVALID_STATE")
    if data.team_id not in (None, account.team_id):
        text = "A service account reaches its own team only."
        raise Invalid(text, {"team_id": [text]})
    limited = data.model_copy(update={"team_id": account.team_id})
    return owning.make(actor, acting(account), limited, max_days)


def acting(account: ServiceAccount) -> Actor:
    """What a service account may do now."""
    return teams.actor_of(account.user)


def described(accounts: Iterable[ServiceAccount]) -> list[dict[str, Any]]:
    """Service accounts with how many tokens of theirs work, and when one was last used."""
    rows = list(accounts)
    works = func.sum(case((owning.working(), 1), else_=0))
    counted: Any = db.session.execute(
        select(ApiToken.user_id, works, func.max(ApiToken.last_used_at))
        .where(ApiToken.user_id.in_([one.id for one in rows]))
        .group_by(ApiToken.user_id)
    )
    figures = {row[0]: (row[1], row[2]) for row in counted}
    makers = serving.makers(rows)
    found = []
    for one in rows:
        tokens, used = figures.get(one.id, (0, None))
        found.append({**serving.described(one, makers), "token_count": tokens, "last_used_at": used})
    return found
