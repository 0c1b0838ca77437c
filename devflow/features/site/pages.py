"""Landing page, terms and privacy."""

from __future__ import annotations

from flask import Blueprint, current_app
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
    known = current_app.extensions.get(_REFERENCE)
    if known is None:  # the document takes its time and never changes while this process lives
        known = current_app.extensions[_REFERENCE] = rules.reference(document(current_app))
    return render("site/docs.html", groups=known, base=port(Settings).public_url)


@bp.get("/privacy")
def privacy() -> ResponseReturnValue:
    return render("site/privacy.html")
