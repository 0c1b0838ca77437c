"""Tokens for whoever proves who they are by password, and what a token or session says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from devflow.core.access import Actor, Permission
from devflow.core.db import db
from devflow.core.use_case import query, use_case
from devflow.features.accounts.service import entering, people
from devflow.features.accounts.service.guarding import Guard
from devflow.features.accounts.service.people import User
from devflow.features.teams import service as teams
from devflow.features.tokens import rules
from devflow.features.tokens.models import ApiToken
from devflow.features.tokens.schemas import PasswordTokenIn
from devflow.features.tokens.service import owning

P = Permission


@dataclass(frozen=True)
class Issued(owning.Made):
    """A new token, and whose it is."""

    user: User


@dataclass(frozen=True)
class Verified:
    """Whose a token or session is, and until when it holds."""

    user: User
    token_type: str
    scopes: list[str]
    expires_at: datetime | None
    valid: bool = True

    @property
    def permissions(self) -> list[str]:
        return self.scopes


@query(P.SESSIONS_CREATE)
def issue(actor: Actor, data: PasswordTokenIn, guard: Guard, max_days: int) -> Issued:
    """A token for whoever proves to be the owner by password and, where it is on, second factor."""
    user = entering.prove(actor, data.email, data.password, data.code or None, guard)
    owner = teams.actor_of(user, ip=actor.ip, agent=actor.agent, request_id=actor.request_id)
    made = owning.create(owner, data, max_days)
    return Issued(made.row, made.value, user)


@query(P.TOKENS_VERIFY)
def verify(actor: Actor, bearer: str, keys: entering.Keys) -> Verified:
    """What the caller came with: an API token, an access token (`bearer`) or a browser session."""
    user = people.find(actor.id)
    if actor.token_id:
        token = owning.find(actor, actor.token_id)
        return Verified(user, "api_token", token.scopes, token.expires_at)
    if claims := keys.access.read(bearer):
        return Verified(user, "jwt", rules.held(actor), datetime.fromtimestamp(claims.expires_at, UTC))
    session = entering.current_session(actor)
    return Verified(user, "session", rules.held(actor), session.expires_at if session else None)


@use_case(P.TOKENS_VERIFY)
def revoke_own(actor: Actor) -> None:
    """End the very token (or session) the caller came with."""
    if actor.token_id:
        token = db.session.get(ApiToken, actor.token_id, with_for_update=True, populate_existing=True)
        if token is not None:
            owning.end(actor, token, "Revoked by itself")
    else:
        entering.logout(actor)
