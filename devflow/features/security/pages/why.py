"""Why somebody can or cannot do something, as a page."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from devflow.core.access import DESCRIPTIONS, GRANTABLE, TEAM_RIGHTS
from devflow.features.security.schemas import WhyForm
from devflow.features.security.service import explaining
from devflow.web.identity import actor
from devflow.web.pages import filters, render

bp = Blueprint("why", __name__)


@bp.get("/security/why")
def index() -> ResponseReturnValue:
    """The question as a form, and its answer below it."""
    asked = filters(WhyForm)
    subject = explaining.subject(actor(), asked.place, asked.user_id)
    verdict = None
    if asked.permission:
        verdict = explaining.why(actor(), asked.permission, asked.place, asked.user_id)
    offered = sorted(TEAM_RIGHTS & GRANTABLE if subject.place.team_id else GRANTABLE)
    options = [(p.value, DESCRIPTIONS[p]) for p in offered]
    return render("security/why.html", "answer", verdict=verdict, asked=asked, subject=subject, options=options)
