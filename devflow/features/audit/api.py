"""The ledger as JSON."""

from __future__ import annotations

from flask import Response, stream_with_context

from devflow.core.clock import now
from devflow.core.errors import NotFound
from devflow.core.paging import Page
from devflow.core.use_case import refusal
from devflow.features.audit.schemas import AuditQuery, EntryOut, UserAuditQuery
from devflow.features.audit.service import exporting, reading
from devflow.web.api import ApiBlueprint
from devflow.web.identity import actor
from devflow.web.pages import filters

bp = ApiBlueprint("audit", __name__)


@bp.get("/security/audit-logs", calls=reading.search)
def index(query: AuditQuery) -> Page[EntryOut]:
    """List what was done and what was refused, newest first."""
    return reading.search(actor(), query)


def export() -> Response:
    """Every entry asked for as a line of JSON, oldest first, however many there are."""
    who = actor()
    if not who.may(exporting.export.permission):
        raise refusal(who, exporting.export.permission)
    query = filters(AuditQuery)
    lines = stream_with_context(exporting.export(who, query))
    days = [f"{day:%Y-%m-%d}" for day in (query.from_date, query.to_date or now()) if day]
    answer = Response(lines, mimetype="application/x-ndjson")
    answer.headers["Content-Disposition"] = f'attachment; filename="audit-{"-to-".join(days)}.jsonl"'
    answer.headers["Cache-Control"] = "no-store"
    return answer


@bp.get("/security/audit-logs/<user_id>", calls=reading.of_user, raises=(NotFound,))
def of_user(user_id: str, query: UserAuditQuery) -> Page[EntryOut]:
    """List what one person did, newest first."""
    return reading.of_user(actor(), user_id, query)


bp.alias("/audit", "index")
bp.add_url_rule("/security/audit-logs/export", "export", export)  # a download: lines, and no envelope
