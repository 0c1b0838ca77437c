"""Logs in a PostgreSQL table, for web processes and workers on several machines."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg

from devflow.adapters.logs.chunked import ChunkedLogs, PerProcess
from devflow.adapters.logs.render import Row
from devflow.adapters.logs.writer import PATIENCE
from devflow.core.errors import Unavailable

_CREATE_LOCK = 0x6C6F675F6368756E  # "log_chun": two processes must not create the table at once
_CONNECT_SECONDS = 5

_EXISTS = "select to_regclass('log_chunk') is not null"
_CREATE = """
create table if not exists log_chunk (
    stream text collate "C" not null,
    last_seq bigint not null,
    first_seq bigint not null,
    data bytea not null,
    primary key (stream, last_seq)
);
alter table log_chunk alter column data set storage external;
"""
_LAST = "select coalesce(max(last_seq), 0) from log_chunk where stream = %s"
_ONE_BY_ONE = "select pg_advisory_xact_lock(hashtextextended(%s, 0))"
_APPEND = """
insert into log_chunk (stream, last_seq, first_seq, data)
select %(stream)s, last + %(count)s, last + 1, %(data)s
from (select coalesce(max(last_seq), 0) as last from log_chunk where stream = %(stream)s) as top
returning last_seq
"""
_HOLDS = "select 1 from log_chunk where stream = %s and last_seq > %s and data = %s limit 1"
_ROWS = """
select first_seq, last_seq, data from log_chunk
where stream = %s and last_seq > %s and last_seq <= %s order by last_seq
"""
_DELETE = "delete from log_chunk where stream = %s"
_STREAMS = """
with recursive hop(stream) as (
    (select min(stream) from log_chunk)
    union all
    select (select min(c.stream) from log_chunk c where c.stream > hop.stream) from hop where hop.stream is not null
)
select stream from hop where stream is not null
"""


class PostgresLogs(ChunkedLogs):
    """The log store of many machines. `url` may be SQLAlchemy's form (`postgresql+psycopg://…`)."""

    def __init__(self, url: str, patience: float = PATIENCE) -> None:
        super().__init__(patience)
        address = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)
        self._reading = PerProcess(lambda: _Connection(address))
        self._writing = PerProcess(lambda: _Connection(address))

    def append(self, stream: str, count: int, data: bytes) -> int:
        values = {"stream": stream, "count": count, "data": data}
        return self._writing.get().append(stream, values)

    def holds(self, stream: str, since: int, data: bytes) -> bool:
        return bool(self._writing.get().run(_HOLDS, (stream, since, data)))

    def last_seq(self, stream: str) -> int:
        return self._reading.get().run(_LAST, (stream,))[0][0]

    def delete(self, stream: str) -> None:
        self._writing.get().run(_DELETE, (stream,))

    def streams(self) -> tuple[str, ...]:
        return tuple(stream for (stream,) in self._reading.get().run(_STREAMS))

    def close(self) -> None:
        self._flusher.get().drain()
        self._reading.get().close()
        self._writing.get().close()

    def _rows(self, stream: str, above: int, upto: int) -> list[Row]:
        return [Row(*row) for row in self._reading.get().run(_ROWS, (stream, above, upto))]


class _Connection:
    """A connection several threads take turns with; opened when needed, and again after it broke."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._turn = threading.Lock()
        self._open: psycopg.Connection | None = None

    def run(self, statement: LiteralString, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """One statement that may be repeated. A connection that broke while it was idle is replaced unnoticed."""
        with self._turn:
            fresh = self._open is None
            try:
                return self._rows(statement, values)
            except psycopg.Error as error:
                if fresh or self._open is None or not self._open.closed:
                    raise self._unavailable(error) from error
            try:
                self._close()
                return self._rows(statement, values)
            except psycopg.Error as error:
                raise self._unavailable(error) from error

    def append(self, stream: str, values: dict[str, Any]) -> int:
        """Store a chunk; never repeated here, because a broken connection may have stored it (see `holds`)."""
        with self._turn:
            try:
                connection = self._open = self._open or self._connect()
                with connection.transaction(), connection.pipeline():
                    connection.execute(_ONE_BY_ONE, (stream,))
                    stored = connection.execute(_APPEND, values, binary=True)
                    return stored.fetchall()[0][0]
            except psycopg.Error as error:
                raise self._unavailable(error) from error

    def close(self) -> None:
        with self._turn:
            self._close()

    def _rows(self, statement: LiteralString, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        self._open = self._open or self._connect()
        cursor = self._open.execute(statement, values, binary=True)
        return cursor.fetchall() if cursor.description else []

    def _unavailable(self, error: Exception) -> Unavailable:
        self._close()
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return Unavailable(
            f"The log store in PostgreSQL cannot be used now ({reason}). "
            "Check that the database answers; waiting lines are tried again."
        )

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _connect(self) -> psycopg.Connection:
        connection = psycopg.connect(
            self._address, autocommit=True, connect_timeout=_CONNECT_SECONDS, application_name="devflow-logs"
        )
        try:
            if not connection.execute(_EXISTS).fetchall()[0][0]:
                with connection.transaction():
                    connection.execute("select pg_advisory_xact_lock(%s)", (_CREATE_LOCK,))
                    connection.execute(_CREATE)
        except psycopg.Error:
            connection.close()
            raise
        return connection
