"""What the ledger shows."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from devflow.core.paging import ListQuery
from devflow.core.schema import Moment, Output


class EntryOut(Output):
    id: str
    actor_id: str | None
    actor_name: str
    team_id: str | None
    action: str
    object_type: str
    object_id: str
    object_name: str
    changes: dict[str, Any]
    ip: str
    request_id: str
    created_at: Moment


class AuditQuery(ListQuery):
    default_limit: ClassVar[int] = 50

    action: str = Field("", max_length=80)
    search: str = Field("", max_length=200)
