"""The pages of API tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from flask import Blueprint, Response, request, url_for
from flask.typing import ResponseReturnValue
from pydantic import BaseModel

from devflow.core.access import DESCRIPTIONS, OPEN, SCOPES, Actor, Permission
from devflow.core.clock import now
from devflow.core.errors import Invalid
from devflow.core.settings import Settings
from devflow.features.projects import service as projects
from devflow.features.projects.schemas import ProjectQuery
from devflow.features.teams import service as teams
from devflow.features.tokens import rules
from devflow.features.tokens.schemas import (
    OwnTokenIn,
    RotateIn,
    ScopesForm,
    ScopesIn,
    TokenForm,
    TokenQuery,
    UsageQuery,
)
from devflow.features.tokens.service import counting, owning, serving
from devflow.web.identity import actor
from devflow.web.limits import limited
from devflow.web.pages import checked, filters, redirect, render, submits
from devflow.web.ports import port

bp = Blueprint("tokens", __name__, url_prefix="/settings/tokens")
Schema = TypeVar("Schema", bound=BaseModel)
LIVES = (7, 30, 90, 365)


@bp.get("")
def index() -> ResponseReturnValue:
    page = owning.search(actor(), filters(TokenQuery))
    return render("settings/tokens.html", "rows", page=page, now=now())


@bp.route("/new", methods=["GET", "POST"])
@limited("tokens")
@submits("settings/token_new.html", TokenForm, calls=owning.create)
def create(data: TokenForm | None) -> Any:
    days = port(Settings).token_max_days
    if data is not None:
        return once(owning.create(actor(), wanted(data), days), "is ready")
    return {
        **choice(actor()),
        **form(days, projects.search(actor(), ProjectQuery(limit=100)).items),
        "own_teams": teams.of_actor(actor()),
        "action": url_for("tokens.create"),
    }


def form(days: int, offered: Sequence[Any]) -> dict[str, Any]:
    """What every form that makes a token shows."""
    return {
        "values": {"expires_in_days": min(90, days), "team_id": ""},
        "lives": sorted({life for life in LIVES if life < days} | {days}),
        "projects": offered,
        "chosen_projects": request.form.getlist("project_ids"),
    }


@bp.get("/<token_id>")
def show(token_id: str) -> ResponseReturnValue:
    token, asked = owning.show(actor(), token_id), filters(UsageQuery)
    usage = counting.usage(actor(), token_id, asked.days, port(counting.Counter))
    return render(
        "settings/token.html", "use", token=token, usage=usage, bars=rules.bars(usage.by_day), query=asked, now=now(),
        account=owning.account_of(actor(), token), places=owning.places(actor(), token),
        old=owning.old_values(actor(), token_id), says=_sentences(token.scopes),
    )  # fmt: skip


@bp.route("/<token_id>/scopes", methods=["GET", "POST"])
@limited("sensitive")
@submits("settings/token_scopes.html", ScopesForm, calls=owning.set_scopes)
def set_scopes(token_id: str, data: ScopesForm | None) -> Any:
    if data is not None:
        token = owning.set_scopes(actor(), token_id, _read(ScopesIn, {"scopes": _scopes()}))
        return redirect(url_for("tokens.show", token_id=token.id), f"{token.name} has its new scopes")
    token = owning.show(actor(), token_id)
    account = owning.account_of(actor(), token)
    whose = serving.acting(account) if account else actor()
    return {**choice(whose), "token": token, "chosen": _chosen(token.scopes), "account": account}


@bp.post("/<token_id>/rotate")
@limited("tokens")
def rotate(token_id: str) -> ResponseReturnValue:
    asked = checked(RotateIn, {name: value for name, value in request.form.items() if value != ""})
    return once(owning.rotate(actor(), token_id, asked, port(Settings).token_max_days), "has a new value")


@bp.post("/<token_id>/revoke")
@limited("sensitive")
def revoke(token_id: str) -> ResponseReturnValue:
    token = owning.show(actor(), token_id)
    if request.form.get("confirm", "").strip() != token.name:
        raise Invalid("Type the token's name to revoke it.", {"confirm": ["This is not its name."]})
    owning.revoke(actor(), token_id)
    account = owning.account_of(actor(), token)
    back = url_for("service_accounts.show", account_id=account.id) if account else url_for("tokens.index")
    return redirect(back, f"{token.name} is revoked")


def once(made: owning.Made, what: str) -> Response:
    """The one page that shows a value: an answer to the form itself, so that no address leads to it."""
    return render(
        "settings/token_value.html", token=made.row, value=made.value, what=what, site=port(Settings).public_url,
        account=owning.account_of(actor(), made.row),
    )  # fmt: skip


def wanted(data: TokenForm) -> OwnTokenIn:
    """The token a form asks for."""
    lists = {"scopes": _scopes(), "project_ids": request.form.getlist("project_ids")}
    addresses = data.allowed_ips.replace(",", " ").split()
    fields = {**data.model_dump(), **lists, "team_id": data.team_id or None, "allowed_ips": addresses}
    return _read(OwnTokenIn, fields)


def _scopes() -> list[str]:
    chosen = request.form.getlist("scopes")
    if not chosen:
        raise Invalid("Choose what the token may do.", {"scopes": ["Choose at least one."]})
    return chosen


def _read(schema: type[Schema], values: dict[str, Any]) -> Schema:
    """Parse lists and single values; what is wrong with one entry of a list stands at the whole of it."""
    try:
        return checked(schema, values)
    except Invalid as error:
        fields: dict[str, list[str]] = {}
        for name, texts in error.fields.items():
            fields.setdefault(name.partition(".")[0], []).extend(texts)
        raise Invalid(error.message, fields) from error


def choice(owner: Actor) -> dict[str, Any]:
    """The scopes a token of this owner may have, and those chosen."""
    single = [p for p in Permission if p not in OPEN and p is not Permission.TOKENS_VERIFY and owner.holds(p)]
    return {
        "coarse": [(word, rules.TITLES[word], rules.SENTENCES[word]) for word in rules.held(owner)],
        "single": [(permission.value, DESCRIPTIONS[permission]) for permission in single],
        "chosen": _chosen(["read"]),
    }


def _chosen(otherwise: list[str]) -> list[str]:
    """What was ticked in the form that is shown again."""
    return request.form.getlist("scopes") if request.method == "POST" else otherwise


def _sentences(scopes: list[str]) -> list[tuple[str, str]]:
    known = {permission.value: text for permission, text in DESCRIPTIONS.items()}
    return [(scope, rules.SENTENCES[scope] if scope in SCOPES else known.get(scope, "")) for scope in scopes]
