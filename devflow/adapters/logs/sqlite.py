"""Logs in a SQLite file of their own, so that writing them never waits for the application's own database."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devflow.adapters.logs.chunked import ChunkedLogs, PerProcess
from devflow.adapters.logs.render import Row
from devflow.adapters.logs.writer import PATIENCE
from devflow.core.errors import Unavailable

_BUSY = 5.0  # seconds to wait for another process's write
_DELETED_AT_ONCE = 200  # chunks: a long delete would hold up the writers

_OPEN = "pragma synchronous = normal; pragma journal_size_limit = 16777216;"
_EXISTS = "select 1 from sqlite_master where name = 'log_chunk'"
_CREATE = """
pragma auto_vacuum = incremental;
pragma journal_mode = wal;
create table if not exists log_chunk (
    stream text not null,
    last_seq integer not null,
    first_seq integer not null,
    data blob not null,
    primary key (stream, last_seq)
) without rowid;
"""
_LAST = "select coalesce(max(last_seq), 0) from log_chunk where stream = ?"
_APPEND = """
insert into log_chunk (stream, last_seq, first_seq, data)
select ?1, last + ?2, last + 1, ?3
from (select coalesce(max(last_seq), 0) as last from log_chunk where stream = ?1)
returning last_seq
"""
_HOLDS = "select 1 from log_chunk where stream = ? and last_seq > ? and data = ? limit 1"
_ROWS = """
select first_seq, last_seq, data from log_chunk where stream = ? and last_seq > ? and last_seq <= ? order by last_seq
"""
_DELETE = """
delete from log_chunk
where stream = ?1 and last_seq in (select last_seq from log_chunk where stream = ?1 order by last_seq limit ?2)
"""
_STREAMS = """
with recursive hop(stream) as (
    select min(stream) from log_chunk
    union all
    select (select min(c.stream) from log_chunk c where c.stream > hop.stream) from hop where hop.stream is not null
)
select stream from hop where stream is not null
"""


class SqliteLogs(ChunkedLogs):
    """The log store of one machine; any number of processes may read and write it."""

    def __init__(self, path: Path, patience: float = PATIENCE) -> None:
        super().__init__(patience)
        self._reading = PerProcess(lambda: _Connection(path))
        self._writing = PerProcess(lambda: _Connection(path))  # readers never wait for a commit

    def append(self, stream: str, count: int, data: bytes) -> int:
        return self._writing.get().run(_APPEND, (stream, count, data))[0][0]

    def holds(self, stream: str, since: int, data: bytes) -> bool:
        return bool(self._writing.get().run(_HOLDS, (stream, since, data)))

    def last_seq(self, stream: str) -> int:
        return self._reading.get().run(_LAST, (stream,))[0][0]

    def delete(self, stream: str) -> None:
        connection = self._writing.get()
        while self.last_seq(stream):
            connection.run(_DELETE, (stream, _DELETED_AT_ONCE))
            connection.give_back()

    def streams(self) -> tuple[str, ...]:
        return tuple(stream for (stream,) in self._reading.get().run(_STREAMS))

    def close(self) -> None:
        self._flusher.get().drain()
        self._reading.get().close()
        self._writing.get().close()

    def _rows(self, stream: str, above: int, upto: int) -> list[Row]:
        return [Row(*row) for row in self._reading.get().run(_ROWS, (stream, above, upto))]


class _Connection:
    """A connection several threads take turns with; opened when needed, and again after an error."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Lock()
        self._open: sqlite3.Connection | None = None

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._using() as connection:
            return connection.execute(statement, values).fetchall()

    def give_back(self) -> None:
        """Return free pages to the disk. A script, because `execute` would stop after the first page."""
        with self._using() as connection:
            connection.executescript("pragma incremental_vacuum")

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._turn:
            try:
                self._open = self._open or self._connect()
                yield self._open
            except (sqlite3.Error, OSError) as error:
                self._close()
                raise Unavailable(
                    f"The log store {self._path.name} cannot be used now ({error}). "
                    "Check the free disk space and the rights on the data folder; waiting lines are tried again."
                ) from error

    def close(self) -> None:
        with self._turn:
            self._close()

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        try:
            connection.executescript(_OPEN)
            if not connection.execute(_EXISTS).fetchall():
                self._create(connection)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _create(self, connection: sqlite3.Connection) -> None:
        """Opening takes no lock, but the first opening does: others that come first are waited for here.

        SQLite itself does not wait when two processes turn a file to WAL at the same moment.
        """
        deadline = time.monotonic() + _BUSY
        while True:
            try:
                connection.executescript(_CREATE)
                return
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.01)
