"""The ledger as a page."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from devflow.features.audit.schemas import AuditQuery
from devflow.features.audit.service import reading
from devflow.web.identity import actor
from devflow.web.pages import filters, render

bp = Blueprint("audit", __name__)


@bp.get("/audit")
def index() -> ResponseReturnValue:
    asked = filters(AuditQuery)
    return render("audit/index.html", "rows", page=reading.search(actor(), asked), query=asked)
