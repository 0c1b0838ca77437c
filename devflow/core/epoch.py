"""One figure that grows whenever somebody's rights have changed, so that open connections can notice at once.

Asking is one indexed read; only after it has grown does anybody look at sessions, tokens and roles again.
"""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Mapped, mapped_column

from devflow.core.db import Model, db


class Epoch(Model):
    """The one row that counts."""

    __tablename__ = "access_epoch"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int]


def rights_changed() -> None:
    """Say, in the running transaction, that somebody may now do less than before (or more)."""
    grown = db.session.execute(update(Epoch).where(Epoch.id == 1).values(number=Epoch.number + 1))
    if not getattr(grown, "rowcount", 0):
        db.session.add(Epoch(id=1, number=1))


def current() -> int:
    """The figure now."""
    return db.session.scalar(select(Epoch.number).where(Epoch.id == 1)) or 0
