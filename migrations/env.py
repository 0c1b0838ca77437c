"""Runs migrations inside the app's context, on SQLite and PostgreSQL alike."""

from alembic import context
from flask import current_app
from sqlalchemy import DateTime, text

from devflow.core.db import UtcDateTime

extension = current_app.extensions["migrate"]
engine = extension.db.engine


def render_item(kind, item, _autogen):
    """Migrations write plain column types: they must not change when a class of ours does."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def same_type(_context, _inspected, metadata, inspected_type, metadata_type):
    if isinstance(metadata_type, UtcDateTime):
        return not isinstance(inspected_type, DateTime)
    return None


def ours(_item, name, kind, _reflected, _compare_to):
    """The log store keeps its own table, wherever it is."""
    return not (kind == "table" and name == "log_chunk")


def run() -> None:
    arguments = {**extension.configure_args, "compare_type": same_type, "include_object": ours}
    with engine.connect() as connection:
        sqlite = connection.dialect.name == "sqlite"
        if sqlite:
            # Batch mode rebuilds a table by dropping it; with foreign keys on, the drop would delete all children.
            connection.connection.driver_connection.execute("pragma foreign_keys=off")
        context.configure(
            connection=connection, target_metadata=extension.db.metadata, render_item=render_item, **arguments
        )
        with context.begin_transaction():
            context.run_migrations()
        if sqlite:
            broken = connection.execute(text("pragma foreign_key_check")).fetchall()
            connection.rollback()
            connection.connection.driver_connection.execute("pragma foreign_keys=on")
            if broken:
                raise RuntimeError(f"The migration left rows without their parents: {broken[:5]}")


run()
