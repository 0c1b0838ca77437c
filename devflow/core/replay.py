"""Creations that a client may send twice: the answer to an `Idempotency-Key` is kept and given again."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import ColumnElement, String, Text, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from devflow.core.clock import now
from devflow.core.crypto import vault
from devflow.core.db import HasId, Model, db, transaction
from devflow.core.errors import Conflict, Invalid

KEPT = timedelta(hours=24)
"""How long a key is remembered."""
STUCK = timedelta(minutes=2)
"""A request that has not answered for so long died with its process; its key is free again."""


class Replay(HasId, Model):
    """A request by its key, and the answer to it once there is one (sealed: it may hold a fresh secret)."""

    __tablename__ = "idempotency_keys"

    key: Mapped[str] = mapped_column(String(64), unique=True)
    request: Mapped[str] = mapped_column(String(64))
    status: Mapped[int | None]
    answer: Mapped[str] = mapped_column(Text, default="")


def begin(key: str, request: str) -> tuple[int, str] | None:
    """Take a key for this request; the answer (status, body) if it was given already.

    Raises Conflict while the first one is still under way, Invalid when the key belongs to another request.
    """
    try:
        with transaction():
            db.session.execute(delete(Replay).where(Replay.key == key, _worthless()))
            db.session.add(Replay(key=key, request=request))
        return None
    except IntegrityError:
        known = db.session.scalar(select(Replay).where(Replay.key == key))
        db.session.rollback()
    if known is None:  # it was given up a moment ago
        return begin(key, request)
    if known.request != request:
        text = "This Idempotency-Key belongs to another request. Use a new key for each thing you create."
        raise Invalid(text, {"Idempotency-Key": [text]})
    if known.status is None:
        raise Conflict("The first request with this Idempotency-Key is still under way. Ask again in a moment.")
    return known.status, vault().open(known.answer)


def finish(key: str, status: int, answer: str) -> None:
    """Keep the answer for a second time."""
    with transaction():
        db.session.execute(update(Replay).where(Replay.key == key).values(status=status, answer=vault().seal(answer)))


def give_up(key: str) -> None:
    """Nothing was created: the key may be used again."""
    with transaction():
        db.session.execute(delete(Replay).where(Replay.key == key, Replay.status.is_(None)))


def forget_old() -> int:
    """Drop keys that are out of date; returns how many."""
    with transaction():
        gone = db.session.execute(delete(Replay).where(_worthless()))
    return getattr(gone, "rowcount", 0)


def _worthless() -> ColumnElement[bool]:
    stuck = Replay.status.is_(None) & (Replay.created_at < now() - STUCK)
    return stuck | (Replay.created_at < now() - KEPT)
