"""Entries of long ago, what is in sealed files, and somebody who may do anything to the database."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import time_machine
from sqlalchemy import select, text

from devflow.core.access import Actor
from devflow.core.clock import now
from devflow.core.db import db, transaction
from devflow.features.audit import service as audit
from devflow.features.audit.models import Entry
from devflow.features.audit.service import sealed

ANN = Actor(id="a" * 36, name="Ann", email="ann@example.com", ip="192.0.2.7", agent="curl", request_id="r-1")
THING = SimpleNamespace(id="t" * 36, name="Käse 🧀", team_id="T" * 36)
DAYS = 90
GUARDS = {
    "sqlite": ("audit_logs_no_update", "audit_logs_no_delete", "audit_archives_no_update", "audit_archives_no_delete"),
    "postgresql": ("audit_logs_append_only", "audit_logs_no_delete", "audit_archives_append_only"),
}
ANCHOR = (
    "insert into audit_archives (first_number, last_number, entries, previous_hash, hash, file, size, sha256, last_at, "
    "signature, created_at) select {first}, {last}, {entries}, '', {hash}, 'x', 1, 'x', created_at, 'x', created_at "
    "from audit_logs where number = {last}"
)


def write(count: int, days_ago: float = 0) -> None:
    """So many entries, made so many days ago."""
    with time_machine.travel(now() - timedelta(days=days_ago)), transaction():
        for at in range(count):
            audit.record(ANN, "thing.changed", THING, {"at": [at, at + 1], "when": 1.5})


def unlocked(*statements: str) -> None:
    """As somebody who may do anything to the database: the guards are dropped first."""
    dialect = db.engine.dialect.name
    with transaction():
        for name in GUARDS[dialect]:
            table = f" on {name[: name.index('s_') + 1]}" if dialect == "postgresql" else ""
            db.session.execute(text(f"drop trigger if exists {name}{table}"))
        for statement in statements:
            db.session.execute(text(statement))


def numbers() -> list[int]:
    found = list(db.session.scalars(select(Entry.number).order_by(Entry.number)))
    db.session.rollback()
    return found  # type: ignore[return-value]


def in_files(folder: Path) -> list[int]:
    """The numbers in files that are noted down."""
    found = []
    for archive in sealed.archives():
        lines = gzip.decompress((folder / archive.file).read_bytes()).splitlines()
        found += [row["number"] for row in map(json.loads, lines) if "seal" not in row]
    return found
