"""Log stores: chunks of lines in a SQLite file or in a PostgreSQL table."""

from __future__ import annotations

from importlib import import_module

from devflow.adapters.logs.chunked import ChunkedLogs
from devflow.adapters.logs.sqlite import SqliteLogs
from devflow.core.settings import Settings

__all__ = ["ChunkedLogs", "SqliteLogs", "open_logs"]


def open_logs(settings: Settings) -> ChunkedLogs:
    """The log store the settings ask for: beside the application's tables in PostgreSQL, else `logs.db`."""
    if settings.store_url.startswith("postgres"):
        # By name: an installation on SQLite has no use for the driver in its memory.
        logs: ChunkedLogs = import_module("devflow.adapters.logs.postgres").PostgresLogs(settings.store_url)
        return logs
    return SqliteLogs(settings.folder / "logs.db")
