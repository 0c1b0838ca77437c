"""The pages of a team's service accounts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from devflow.core.access import Permission
from devflow.core.clock import now
from devflow.core.errors import Conflict, Invalid, NotFound
from devflow.core.settings import Settings
from devflow.core.use_case import refusal
from devflow.features.projects import service as projects
from devflow.features.projects.schemas import ProjectQuery
from devflow.features.teams import service as teams
from devflow.features.teams.schemas import ServiceAccountIn, ServiceAccountPatch, ServiceAccountQuery
from devflow.features.teams.service import serving as accounts
from devflow.features.teams.service.serving import ServiceAccount
from devflow.features.tokens.pages import tokens as own
from devflow.features.tokens.schemas import TokenForm, TokenQuery
from devflow.features.tokens.service import serving
from devflow.web.identity import actor
from devflow.web.limits import limited
from devflow.web.pages import filters, redirect, render, submits
from devflow.web.place import remembered
from devflow.web.ports import port

bp = Blueprint("service_accounts", __name__, url_prefix="/team/service-accounts")
P = Permission


@bp.get("")
def index() -> ResponseReturnValue:
    asked = filters(ServiceAccountQuery)
    page = accounts.search(actor(), _here(), asked)
    return render("teams/service_accounts.html", "rows", page=page, rows=serving.described(page.items), query=asked)


@bp.route("/new", methods=["GET", "POST"])
@limited("sensitive")
@submits("teams/service_account_form.html", ServiceAccountIn, calls=accounts.create)
def create(data: ServiceAccountIn | None) -> Any:
    team = _here()
    if not actor().may(P.MEMBERS_MANAGE, team):
        raise refusal(actor(), P.MEMBERS_MANAGE, team)
    if data is not None:
        with _taken():
            made = accounts.create(actor(), team.id, data)
        return redirect(_page(made), f"{made.name} is ready. Make a token for it.")
    return {"account": None, "to_give": accounts.offered(actor(), team), "values": {"role": "member"}}


@bp.get("/<account_id>")
def show(account_id: str) -> ResponseReturnValue:
    account = accounts.show(actor(), account_id)
    manages = actor().may(P.MEMBERS_MANAGE, account)
    page = serving.search(actor(), account.id, filters(TokenQuery)) if manages else None
    return render(
        "teams/service_account.html", "rows", account=account, facts=serving.described([account])[0], page=page,
        manages=manages, now=now(), of=teams.find(actor(), account.team_id),
    )  # fmt: skip


@bp.route("/<account_id>/edit", methods=["GET", "POST"])
@limited("sensitive")
@submits("teams/service_account_form.html", ServiceAccountPatch, calls=accounts.change)
def change(account_id: str, data: ServiceAccountPatch | None) -> Any:
    account = _managed(account_id)
    if data is not None:
        sent = data.model_copy(update={"description": data.description or ""})
        with _taken():
            changed = accounts.change(actor(), account_id, ServiceAccountPatch(**sent.model_dump(exclude_none=True)))
        return redirect(_page(changed), "Service account saved")
    values = {"name": account.name, "description": account.description, "role": account.role}
    return {"account": account, "to_give": accounts.offered(actor(), account), "values": values}


@bp.post("/<account_id>/switch")
@limited("sensitive")
def switch(account_id: str) -> ResponseReturnValue:
    on = request.form.get("is_active") == "1"
    account = accounts.change(actor(), account_id, ServiceAccountPatch(is_active=on))
    said = "is switched on" if on else "is switched off; its tokens are refused"
    return redirect(_page(account), f"{account.name} {said}")


@bp.post("/<account_id>/delete")
@limited("sensitive")
def delete(account_id: str) -> ResponseReturnValue:
    account = _managed(account_id)
    name = account.name
    if request.form.get("confirm", "").strip() != name:
        raise Invalid("Type the name of the service account to delete it.", {"confirm": ["This is not its name."]})
    accounts.end(actor(), account_id)
    return redirect(url_for("service_accounts.index"), f"{name} is deleted; its tokens are refused")


@bp.route("/<account_id>/tokens/new", methods=["GET", "POST"])
@limited("tokens")
@submits("settings/token_new.html", TokenForm, calls=serving.create)
def create_token(account_id: str, data: TokenForm | None) -> Any:
    account, days = _managed(account_id), port(Settings).token_max_days
    if data is not None:
        return own.once(serving.create(actor(), account_id, own.wanted(data), days), "is ready")
    owner = serving.acting(account)
    offered = projects.search(owner, ProjectQuery(team_id=account.team_id, limit=100)).items
    address = url_for("service_accounts.create_token", account_id=account_id)
    return {**own.choice(owner), **own.form(days, offered), "own_teams": [], "action": address, "account": account}


def _managed(account_id: str) -> ServiceAccount:
    account = accounts.find(actor(), account_id)
    if not actor().may(P.MEMBERS_MANAGE, account):
        raise refusal(actor(), P.MEMBERS_MANAGE, account)
    return account


def _here() -> teams.Team:
    """The team this browser looks at."""
    team = teams.chosen(actor(), remembered())
    if team is None:
        raise NotFound("You belong to no team yet.")
    return team


def _page(account: ServiceAccount) -> str:
    return url_for("service_accounts.show", account_id=account.id)


@contextmanager
def _taken() -> Iterator[None]:
    """A name that is taken is said at its field."""
    try:
        yield
    except Conflict as error:
        raise Invalid(error.message, {"name": [error.message]}) from error
