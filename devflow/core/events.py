"""Facts: what has happened, written in the transaction that made it true and heard after the commit.

A fact is a frozen dataclass registered with `@fact`. Listeners hear it at least once, in no promised order, and must
be idempotent. What a crash leaves undelivered is delivered by the sweep in the worker.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import JSON, Index, String, Text, delete, select, update
from sqlalchemy.orm import Mapped, mapped_column

from devflow.core.clock import now
from devflow.core.db import HasId, Model, db, transaction

log = logging.getLogger(__name__)
T = TypeVar("T")
MAX_ATTEMPTS = 10
KEPT = timedelta(days=7)
"""How long delivered facts can be looked at."""


class OutboxRow(HasId, Model):
    """A fact waiting for its listeners; `delivered_at` is set when all of them have heard it."""

    __tablename__ = "outbox"

    kind: Mapped[str] = mapped_column(String(80))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(default=now)
    delivered_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (Index("ix_outbox_waiting", "delivered_at", "due_at"),)


_kinds: dict[str, type] = {}
_listeners: dict[type, list[Callable[[Any], None]]] = defaultdict(list)


def fact(cls: type[T]) -> type[T]:
    """Register a fact class under its own name."""
    known = _kinds.setdefault(cls.__name__, cls)
    if known is not cls and known.__module__ != cls.__module__:
        raise TypeError(f"Two facts are called {cls.__name__}: {known.__module__} and {cls.__module__}.")
    _kinds[cls.__name__] = cls
    return cls


def on(kind: type[T]) -> Callable[[Callable[[T], None]], Callable[[T], None]]:
    """Let a function hear every fact of this kind."""

    def listen(function: Callable[[T], None]) -> Callable[[T], None]:
        if function not in _listeners[kind]:
            _listeners[kind].append(function)
        return function

    return listen


def write(happened: Any) -> OutboxRow:
    """Put a fact into the outbox of the running transaction."""
    row = OutboxRow(kind=type(happened).__name__, payload=asdict(happened))
    db.session.add(row)
    return row


def deliver(rows: Iterable[OutboxRow]) -> None:
    """Tell the listeners, then mark the facts delivered. A failing listener postpones its fact, never the others."""
    for row in rows:
        row_id, attempts, error = row.id, row.attempts + 1, _tell(row)
        with transaction():
            if error is None:
                values: dict[str, Any] = {"delivered_at": now(), "attempts": attempts}
            else:
                gave_up = attempts >= MAX_ATTEMPTS
                values = {"attempts": attempts, "error": error, "due_at": now() + timedelta(seconds=2**attempts)}
                values |= {"delivered_at": now()} if gave_up else {}
            db.session.execute(update(OutboxRow).where(OutboxRow.id == row_id).values(values))


def _tell(row: OutboxRow) -> str | None:
    kind = _kinds.get(row.kind)
    if kind is None:
        return f"no fact is called {row.kind}"
    try:
        happened = kind(**row.payload)
    except TypeError as error:  # written by another version of DevFlow
        return f"{row.kind} cannot be read: {error}"
    for listener in _listeners[kind]:
        try:
            listener(happened)
        except Exception as error:
            log.exception("A listener failed on %s", row.kind)
            db.session.rollback()
            return f"{listener.__module__}.{listener.__name__}: {error}"
    return None


def forget_old() -> int:
    """Drop facts that were delivered, or given up, long ago; returns how many."""
    with transaction():
        gone = db.session.execute(delete(OutboxRow).where(OutboxRow.delivered_at < now() - KEPT))
    return getattr(gone, "rowcount", 0)


def sweep(older_than: timedelta = timedelta(seconds=5), limit: int = 100) -> int:
    """Deliver facts that a crash left behind; returns how many."""
    due = (
        select(OutboxRow)
        .where(OutboxRow.delivered_at.is_(None), OutboxRow.due_at <= now() - older_than)
        .order_by(OutboxRow.id)
        .limit(limit)
    )
    rows = list(db.session.scalars(due))
    db.session.rollback()
    deliver(rows)
    return len(rows)
