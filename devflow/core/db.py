"""The database: one Flask-SQLAlchemy, set up so that SQLite and PostgreSQL behave alike.

This module alone imports Flask-SQLAlchemy. Transactions are opened and committed by `core/use_case.py`.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime, Engine, MetaData, String, event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, registry
from sqlalchemy.types import TypeDecorator

from devflow.core.clock import now
from devflow.core.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """A timezone-aware datetime that comes back in UTC from every database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Tables of the house."""

    registry = registry(metadata=MetaData(naming_convention=NAMING), type_annotation_map={datetime: UtcDateTime})


class HasId:
    """Rows known by a UUID, with the moment they were made."""

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    created_at: Mapped[datetime] = mapped_column(default=now)


class HasUpdates:
    """Rows that say when they last changed."""

    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False})

if TYPE_CHECKING:
    Model = Base
else:
    Model = db.Model


def options(url: str) -> dict[str, Any]:
    """Engine options for this database."""
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": 10, "check_same_thread": False}}
    return {"pool_pre_ping": True, "pool_size": 10, "max_overflow": 30}


@event.listens_for(Engine, "connect")
def _tune_sqlite(connection: Any, _record: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        # BEGIN is sent by the listener below: sqlite3's own would never be IMMEDIATE.
        connection.isolation_level = None
        for pragma in ("journal_mode=wal", "synchronous=normal", "foreign_keys=on", "cache_size=-16384"):
            connection.execute(f"pragma {pragma}")


@event.listens_for(Engine, "begin")
def _begin(connection: Any) -> None:
    if connection.dialect.name == "sqlite":
        # A read snapshot cannot become a writer later (SQLITE_BUSY at once), so writers say so at the start.
        write = connection.get_execution_options().get("write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@contextmanager
def transaction() -> Iterator[None]:
    """A write transaction of its own: committed at the end, rolled back on an error."""
    db.session.rollback()  # ends a read snapshot that the request may hold
    db.session.connection(execution_options={"write": True})
    try:
        yield
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise
