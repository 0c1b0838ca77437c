"""The ledger as JSON."""

from __future__ import annotations

from devflow.core.errors import NotFound
from devflow.core.paging import Page
from devflow.features.audit.schemas import AuditQuery, EntryOut, UserAuditQuery
from devflow.features.audit.service import reading
from devflow.web.api import ApiBlueprint
from devflow.web.identity import actor

bp = ApiBlueprint("audit", __name__)


@bp.get("/security/audit-logs", calls=reading.search)
def index(query: AuditQuery) -> Page[EntryOut]:
    """List what was done and what was refused, newest first."""
    return reading.search(actor(), query)


@bp.get("/security/audit-logs/<user_id>", calls=reading.of_user, raises=(NotFound,))
def of_user(user_id: str, query: UserAuditQuery) -> Page[EntryOut]:
    """List what one person did, newest first."""
    return reading.of_user(actor(), user_id, query)


bp.alias("/audit", "index")
