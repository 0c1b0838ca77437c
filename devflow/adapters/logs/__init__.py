"""Log stores: chunks of lines in a SQLite file or in a PostgreSQL table."""

from __future__ import annotations

from devflow.adapters.logs.chunked import ChunkedLogs
from devflow.adapters.logs.postgres import PostgresLogs
from devflow.adapters.logs.sqlite import SqliteLogs
from devflow.core.settings import Settings

__all__ = ["ChunkedLogs", "PostgresLogs", "SqliteLogs", "open_logs"]


def open_logs(settings: Settings) -> ChunkedLogs:
    """The log store the settings ask for: beside the application's tables in PostgreSQL, else `logs.db`."""
    if settings.store_url.startswith("postgres"):
        return PostgresLogs(settings.store_url)
    return SqliteLogs(settings.folder / "logs.db")
