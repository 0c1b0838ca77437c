"""Who a token's value belongs to, and what it allows; asked on every request that comes with one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, select

from devflow.core.access import SYSTEM, Actor, Permission
from devflow.core.clock import iso, now
from devflow.core.crypto import digest
from devflow.core.db import db
from devflow.core.epoch import rights_changed
from devflow.core.use_case import use_case
from devflow.features.accounts.service.people import User
from devflow.features.audit import service as audit
from devflow.features.tokens import rules
from devflow.features.tokens.models import ApiToken, TokenValue
from devflow.features.tokens.service.telling import tell

PREFIX = rules.PREFIX
REUSED = "An old value was used after the token had been rotated"
_cap = lru_cache(maxsize=1024)(rules.cap)
# Made once: to build a statement takes longer than to run it, and this one runs with every request.
_OF_VALUE = (
    select(
        User, TokenValue.until, ApiToken.id, ApiToken.scopes, ApiToken.team_id, ApiToken.project_ids,
        ApiToken.allowed_ips, ApiToken.expires_at,
    )
    .join(ApiToken, ApiToken.user_id == User.id)
    .join(TokenValue, TokenValue.token_id == ApiToken.id)
    .where(TokenValue.digest == bindparam("value"), ApiToken.revoked_at.is_(None), User.is_active)
)  # fmt: skip


@dataclass(frozen=True)
class Bearer:
    """Whom a good token acts as, and the limits it puts on them."""

    user: User
    of_actor: dict[str, Any]


def by_value(value: str, ip: str, agent: str = "", request_id: str = "") -> Bearer | None:
    """Whose token this is; None when it is unknown, ended, used from elsewhere or its owner is switched off.

    An old value that turns up after its grace has leaked, or is forgotten somewhere: the whole token ends then.
    """
    if not rules.well_formed(value):
        return None
    found = db.session.execute(_OF_VALUE, {"value": digest(value)}).one_or_none()
    if found is None:
        return None
    moment = now()
    if found.expires_at and found.expires_at <= moment:
        return None
    if found.until and found.until <= moment:
        if found.until + rules.SETTLING <= moment:
            _end_reused(replace(SYSTEM, ip=ip, agent=agent, request_id=request_id), found.id)
        return None
    if found.allowed_ips and not rules.comes_from(ip, found.allowed_ips):
        return None
    projects = tuple(found.project_ids)
    limits = {
        "token_id": found.id,
        "until": found.expires_at,
        "cap": _cap(tuple(found.scopes), found.team_id, projects),
        "only_teams": frozenset({found.team_id}) if found.team_id else None,
        "only_projects": frozenset(projects) or None,
    }
    return Bearer(found.User, limits)


@use_case(Permission.TOKENS_MANAGE)
def _end_reused(actor: Actor, token_id: str) -> None:
    """End a token whose old value was used, and tell its owner; once, however many try at the same moment."""
    token = db.session.get(ApiToken, token_id, with_for_update=True, populate_existing=True)
    if token is None or token.revoked_at:
        return
    token.revoked_at, token.revoked_why = now(), REUSED
    rights_changed()
    audit.record(actor, "token.reused", token, {"revoked_at": [None, iso(token.revoked_at)]})
    when = f"{token.revoked_at:%Y-%m-%d %H:%M} UTC"
    tell(token, "token_reused", "has been revoked", ip=actor.ip, agent=actor.agent, when=when)
