"""The ledger as lines of JSON, each of which can be verified away from the database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Select, func
from sqlalchemy.orm import aliased

from devflow.core.access import Actor, Permission
from devflow.core.db import db
from devflow.core.ids import new_id
from devflow.core.use_case import use_case
from devflow.features.audit.models import Archive, Entry
from devflow.features.audit.rules.sealing import FIELDS, plain
from devflow.features.audit.schemas import AuditQuery
from devflow.features.audit.service.reading import holding, matching
from devflow.features.audit.service.writing import noted

CHUNK = 1000
_Before = aliased(Entry)
_COLUMNS = tuple(getattr(Entry, name) for name in FIELDS)


@use_case(Permission.AUDIT_READ)
def export(actor: Actor, asked: AuditQuery) -> Iterator[str]:
    """The entries asked for (whatever their number), oldest first; that somebody took them is an entry as well."""
    rows = matching(actor, asked)
    if asked.search:
        rows = rows.where(holding(asked.search))
    paging = set(AuditQuery.model_fields) & {"page", "limit", "per_page", "offset", "cursor"}
    filters = asked.model_dump(mode="json", exclude=paging, exclude_defaults=True)
    noted(actor, "audit.exported", "audit", "audit", "Audit", filters)
    return _lines(rows.where(Entry.id < new_id()))


def _lines(rows: Select[Any]) -> Iterator[str]:
    """A chunk at a time, and no transaction open while the reader is slow."""
    before = func.coalesce(_Before.hash, Archive.hash, "")
    columns: tuple[Any, ...] = (*_COLUMNS, Entry.hash, before)
    linked: Select[Any] = rows.with_only_columns(*columns).select_from(Entry)
    linked = linked.outerjoin(_Before, _Before.number == Entry.number - 1)
    linked = linked.outerjoin(Archive, Archive.last_number == Entry.number - 1).order_by(Entry.id).limit(CHUNK)
    last = ""
    while True:
        found: list[Any] = list(db.session.execute(linked.where(Entry.id > last)))
        db.session.rollback()
        for *values, own, previous in found:
            line = plain(dict(zip(FIELDS, values, strict=True)))
            yield json.dumps({**line, "previous_hash": previous, "hash": own}) + "\n"
            last = line["id"]
        if len(found) < CHUNK:
            return
