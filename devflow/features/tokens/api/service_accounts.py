"""Service accounts and their tokens as JSON."""

from __future__ import annotations

from typing import Any

from flask import request

from devflow.core.access import Permission
from devflow.core.errors import Conflict, Forbidden, Invalid, NotFound
from devflow.core.paging import Page
from devflow.core.settings import Settings
from devflow.features.teams import service as teams
from devflow.features.teams.schemas import (
    ServiceAccountIn,
    ServiceAccountOut,
    ServiceAccountPatch,
    ServiceAccountQuery,
    TeamChoice,
)
from devflow.features.teams.service import serving as accounts
from devflow.features.teams.service.serving import ServiceAccount
from devflow.features.tokens.schemas import NewTokenOut, OwnTokenIn, TokenOut, TokenQuery
from devflow.features.tokens.service import serving
from devflow.web.api import ApiBlueprint, Said
from devflow.web.identity import actor
from devflow.web.ports import port

bp = ApiBlueprint("service_accounts", __name__, url_prefix="/team/service-accounts")
P = Permission


def _team(asked: str | None, permission: Permission) -> str:
    """The team in the body or query, else in the header, else the caller's own."""
    return teams.choose(actor(), asked or request.headers.get("X-Team-Id") or None, permission)


def _one(account: ServiceAccount) -> dict[str, Any]:
    return serving.described([account])[0]


@bp.get("", calls=accounts.search, raises=(NotFound,))
def index(query: ServiceAccountQuery) -> Page[ServiceAccountOut]:
    """List the service accounts of a team: what programs act as, so that nothing stops when a person leaves."""
    page = accounts.search(actor(), _team(query.team_id, P.MEMBERS_READ), query)
    rows = iter(serving.described(page.items))
    return page.map(lambda _: next(rows))


@bp.post("", calls=accounts.create, status=201, limit="sensitive", raises=(Conflict, Forbidden, NotFound))
def create(query: TeamChoice, body: ServiceAccountIn) -> ServiceAccountOut:
    """Make a service account of a team, with a role that you could give to anybody there."""
    return _one(accounts.create(actor(), _team(body.team_id or query.team_id, P.MEMBERS_MANAGE), body))


@bp.get("/<account_id>", calls=accounts.show, raises=(NotFound,))
def show(account_id: str) -> ServiceAccountOut:
    """One service account."""
    return _one(accounts.show(actor(), account_id))


@bp.patch("/<account_id>", calls=accounts.change, limit="sensitive", raises=(NotFound, Conflict))
def change(account_id: str, body: ServiceAccountPatch) -> ServiceAccountOut:
    """Change name, description or role of a service account, or switch it off or on."""
    return _one(accounts.change(actor(), account_id, body))


@bp.delete("/<account_id>", calls=accounts.end, limit="sensitive", raises=(NotFound,))
def delete(account_id: str) -> Said:
    """Delete a service account; its tokens answer 401 from now on."""
    accounts.end(actor(), account_id)
    return Said(None, "Service account deleted successfully")


@bp.get("/<account_id>/tokens", calls=serving.search, raises=(NotFound,))
def tokens(account_id: str, query: TokenQuery) -> Page[TokenOut]:
    """The API tokens of a service account, newest first, without their values.

    They are rotated, changed, revoked and counted at `/dev/tokens/{token_id}` like one's own.
    """
    return serving.search(actor(), account_id, query)


@bp.post(
    "/<account_id>/tokens", calls=serving.create, status=201, limit="tokens",
    raises=(Invalid, Forbidden, NotFound, Conflict),
)  # fmt: skip
def create_token(account_id: str, body: OwnTokenIn) -> NewTokenOut:
    """Make an API token of a service account; it reaches the account's team only. Its value is in this answer only."""
    return serving.create(actor(), account_id, body, port(Settings).token_max_days)
