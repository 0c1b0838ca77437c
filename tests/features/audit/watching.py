"""Watches what a request writes: which tables, and how many entries in the ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event

from devflow.core import events
from devflow.core.db import db

_WRITES = re.compile(r'^\s*(?:insert into|update|delete from)\s+"?(\w+)', re.IGNORECASE)
_MACHINERY = {"audit_logs", "audit_head", "outbox", "jobs", "idempotency_keys", "access_epoch", "letters"}
"""The ledger itself, and what is work to be done rather than something a person changed."""


@dataclass
class Written:
    """What one request has committed: tables that a person changed, and entries of the ledger beside them."""

    tables: set[str] = field(default_factory=set)
    entries: int = 0
    unsaid: list[set[str]] = field(default_factory=list)
    """Transactions that changed something and wrote no entry."""


@contextmanager
def watching(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """Everything committed inside, but for what listeners do about facts: those are DevFlow's own acts."""
    written, open_now, listening = Written(), Written(), []
    deliver = events.deliver

    def delivering(rows: Any) -> None:
        listening.append(True)
        try:
            deliver(rows)
        finally:
            listening.pop()

    def executed(_c: Any, cursor: Any, statement: str, parameters: Any, _x: Any, many: bool) -> None:
        found = _WRITES.match(statement)
        if found is None or listening or (not many and cursor.rowcount == 0):
            return
        if found[1] == "audit_logs":
            open_now.entries += len(parameters) if many else 1
        elif found[1] not in _MACHINERY:
            open_now.tables.add(found[1])

    def committed(_connection: Any) -> None:
        if open_now.tables and not open_now.entries:
            written.unsaid.append(set(open_now.tables))
        written.tables |= open_now.tables
        written.entries += open_now.entries
        forgotten(_connection)

    def forgotten(_connection: Any) -> None:
        open_now.tables, open_now.entries = set(), 0

    with app.app_context():
        engine = db.engine
    hooks = (("after_cursor_execute", executed), ("commit", committed), ("rollback", forgotten))
    for name, hook in hooks:
        event.listen(engine, name, hook)
    with monkeypatch.context() as patched:
        patched.setattr(events, "deliver", delivering)
        try:
            yield written
        finally:
            for name, hook in hooks:
                event.remove(engine, name, hook)
