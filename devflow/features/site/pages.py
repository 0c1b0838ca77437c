"""Landing page, terms and privacy."""

from __future__ import annotations

from flask import Blueprint, current_app, request
from flask.typing import ResponseReturnValue

from devflow.core.settings import Settings
from devflow.features.accounts.service import people
from devflow.features.settings import service as platform
from devflow.features.site import rules
from devflow.web.api import document
from devflow.web.pages import render
from devflow.web.ports import port

bp = Blueprint("site", __name__)
_REFERENCE = "devflow-reference"


@bp.get("/")
def landing() -> ResponseReturnValue:
    has_accounts = people.has_accounts()
    sign_up_open = not has_accounts or platform.current(port(Settings)).sign_up == "open"
    return render("site/landing.html", has_accounts=has_accounts, sign_up_open=sign_up_open)


@bp.get("/terms")
def terms() -> ResponseReturnValue:
    return render("site/terms.html")


@bp.get("/docs")
def docs() -> ResponseReturnValue:
    """The API, from its own document."""
    base, search = port(Settings).public_url, request.args.get("search", "").strip()[:200]
    known = current_app.extensions.get(_REFERENCE)
    if known is None:  # the document takes its time and never changes while this process lives
        told = document(current_app)
        known = current_app.extensions[_REFERENCE] = (rules.reference(told, base), rules.errors(told))
    groups, errors = known
    shown = rules.matching(groups, search)
    return render("site/docs.html", "operations", groups=shown, all=groups, errors=errors, base=base, search=search)


@bp.get("/privacy")
def privacy() -> ResponseReturnValue:
    return render("site/privacy.html")
