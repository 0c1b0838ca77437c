"""API tokens: who a value belongs to, and what it allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from devflow.core.access import allowed_by
from devflow.core.clock import now
from devflow.core.crypto import digest
from devflow.core.db import db
from devflow.features.accounts.service import people
from devflow.features.accounts.service.people import User
from devflow.features.tokens.models import ApiToken, TokenValue

PREFIX = "dvf_"


@dataclass(frozen=True)
class Bearer:
    """The owner of a good token, and the limits it puts on them."""

    user: User
    of_actor: dict[str, Any]


def by_value(value: str, ip: str) -> Bearer | None:
    """Whose token this is; None when it is unknown, expired, revoked, out of its grace or its owner is switched off."""
    both = select(ApiToken, TokenValue.until).join(TokenValue, TokenValue.token_id == ApiToken.id)
    found = db.session.execute(both.where(TokenValue.digest == digest(value))).one_or_none()
    if found is None:
        return None
    token, until = found
    moment = now()
    ended = token.revoked_at or (token.expires_at and token.expires_at <= moment) or (until and until <= moment)
    user = None if ended else people.by_id(token.user_id)
    if user is None:
        return None
    only_teams = frozenset({token.team_id}) if token.team_id else None
    only_projects = frozenset(token.project_ids) or None
    limits = {"cap": allowed_by(token.scopes), "only_teams": only_teams, "only_projects": only_projects}
    return Bearer(user, {"token_id": token.id, **limits})
