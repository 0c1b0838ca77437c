"""The ledger as JSON."""

from __future__ import annotations

from devflow.core.paging import Page
from devflow.features.audit import service
from devflow.features.audit.schemas import AuditQuery, EntryOut
from devflow.web.api import ApiBlueprint
from devflow.web.identity import actor

bp = ApiBlueprint("audit", __name__, url_prefix="/audit")


@bp.get("", calls=service.search)
def index(query: AuditQuery) -> Page[EntryOut]:
    """List what was done, newest first."""
    return service.search(actor(), query)
