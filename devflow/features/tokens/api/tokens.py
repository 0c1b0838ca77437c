"""API tokens as JSON, and the count of what they are used for."""

from __future__ import annotations

from flask import Response, request

from devflow.core.errors import Conflict, Forbidden, Invalid, NotFound, TooMany, Unauthenticated
from devflow.core.paging import Page
from devflow.core.settings import Settings
from devflow.features.accounts.service.entering import Keys
from devflow.features.accounts.service.guarding import Guard
from devflow.features.tokens.schemas import (
    NewTokenOut,
    OwnTokenIn,
    PasswordTokenIn,
    PasswordTokenOut,
    RotateIn,
    ScopesIn,
    TokenInfoOut,
    TokenOut,
    TokenQuery,
    UsageOut,
    UsageQuery,
)
from devflow.features.tokens.service import bearing, counting, entering, owning
from devflow.ports.tries import Tries
from devflow.web.api import ApiBlueprint, Said
from devflow.web.entrance import device
from devflow.web.identity import Caller, actor, anybody, bearer_token, sign_out, visitor
from devflow.web.limits import credentials
from devflow.web.ports import port

bp = ApiBlueprint("tokens", __name__)


@bp.get("/dev/tokens", calls=owning.search)
def index(query: TokenQuery) -> Page[TokenOut]:
    """Your API tokens, newest first, without their values."""
    return owning.search(actor(), query)


@bp.post("/dev/tokens", calls=owning.create, status=201, raises=(Invalid, Forbidden, NotFound), limit="tokens")
def create(body: OwnTokenIn) -> NewTokenOut:
    """Make an API token; its value is in this answer only."""
    return owning.create(actor(), body, port(Settings).token_max_days)


@bp.patch("/dev/tokens/<token_id>/rotate", calls=owning.rotate, raises=(NotFound, Conflict), limit="tokens")
def rotate(token_id: str, body: RotateIn) -> NewTokenOut:
    """Give a token a new value, in this answer only.

    The old value stops at once, or after `grace_hours`. Its use a minute later, or after that, revokes the token.
    """
    return owning.rotate(actor(), token_id, body, port(Settings).token_max_days)


@bp.patch("/dev/tokens/<token_id>/scopes", calls=owning.set_scopes, raises=(NotFound, Conflict), limit="sensitive")
def set_scopes(token_id: str, body: ScopesIn) -> TokenOut:
    """Replace what a token may do, effective with its next request."""
    return owning.set_scopes(actor(), token_id, body)


@bp.delete("/dev/tokens/<token_id>", calls=owning.revoke, raises=(NotFound,), limit="sensitive")
def revoke(token_id: str) -> Said:
    """Revoke a token; it answers 401 from now on."""
    owning.revoke(actor(), token_id)
    return Said(None, "Token revoked successfully")


@bp.get("/dev/tokens/<token_id>/usage", calls=counting.usage, raises=(NotFound,))
def usage(token_id: str, query: UsageQuery) -> UsageOut:
    """What a token was used for: by day (UTC) and by route."""
    return counting.usage(actor(), token_id, query.days, port(counting.Counter))


@bp.post("/auth/token", calls=entering.issue, status=201, raises=(Unauthenticated, Forbidden, Invalid, TooMany))
@credentials
def issue(body: PasswordTokenIn) -> PasswordTokenOut:
    """Make an API token with e-mail address and password; its value is in this answer only.

    Where two-factor sign-in is on, 401 TWO_FACTOR_REQUIRED asks for `code` as well.
    """
    return entering.issue(anybody(), body, Guard(port(Tries), device()), port(Settings).token_max_days)


@bp.delete("/auth/token", calls=entering.revoke_own)
def revoke_own() -> Said:
    """Revoke the very token in the Authorization header; it answers 401 from now on."""
    entering.revoke_own(actor())
    sign_out()
    return Said(None, "Token revoked successfully")


@bp.get("/auth/verify", calls=entering.verify)
def verify() -> TokenInfoOut:
    """Whose token this is, and until when it holds."""
    return entering.verify(actor(), bearer_token(request), port(Keys))


def count(response: Response) -> Response:
    """After each request: count it if it came with a good API token."""
    value = bearer_token(request)
    if value.startswith(bearing.PREFIX) and (found := visitor()) and found.actor.token_id:
        caller, failed = Caller(request), response.status_code >= 400
        use = counting.Use(found.actor.token_id, value, request.method, _route(), failed, caller.ip, caller.agent)
        port(counting.Counter).add(use)
    return response


def _route() -> str:
    """The address as the API's document writes it: both prefixes are one, and names of things are left out."""
    if request.url_rule is None:
        return "(no such address)"
    path = request.url_rule.rule.replace("<", "{").replace(">", "}")
    return f"/api/v1{path.removeprefix('/api')}" if path.startswith("/api/") and path[:8] != "/api/v1/" else path
