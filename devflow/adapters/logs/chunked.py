"""The log port over any table of chunks; a store adds only its few statements."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from devflow.adapters.logs.masking import Mask
from devflow.adapters.logs.render import CHUNK_LINES, Row, merge
from devflow.adapters.logs.writer import PATIENCE, ChunkWriter, Flusher
from devflow.ports.logs import Chunk, Line

READ_LINES = 4 * CHUNK_LINES
"""Lines one statement reads about at most."""

T = TypeVar("T")


class PerProcess(Generic[T]):
    """One T for each process, made when it is first needed: no connection, lock or thread crosses a fork."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[int, T] = {}  # what a parent made stays referenced: closing it here would disturb the parent

    def get(self) -> T:
        pid = os.getpid()
        return self._made[pid] if pid in self._made else self._made.setdefault(pid, self._make())


class ChunkedLogs(ABC):
    """`Logs` over rows of (stream, first_seq, last_seq, data). Everything raises `Unavailable` if the store is away."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._flusher = PerProcess(Flusher)

    def writer(self, stream: str, secrets: Iterable[str] = ()) -> ChunkWriter:
        """Go on writing after the last stored line."""
        return ChunkWriter(stream, Mask(secrets), self, self._flusher.get(), self._patience)

    def read(self, stream: str, since: int = 0, limit: int = 1000) -> tuple[Line, ...]:
        """Lines with seq > since, in order, at most `limit`."""
        lines: list[Line] = []
        while len(lines) < limit:
            chunks = merge(self._after(stream, since, min(limit - len(lines), READ_LINES)), since)
            if not chunks:
                break
            for chunk in chunks:
                lines += chunk.lines
            since = chunks[-1].last
        return tuple(lines[:limit])

    def chunks(self, stream: str, since: int) -> tuple[Chunk, ...]:
        """The next few chunks after `since`; small neighbours come as one."""
        return merge(self._after(stream, since, READ_LINES), since)

    def tail(self, stream: str, lines: int) -> tuple[Line, ...]:
        """The last lines, in order."""
        return self.read(stream, max(0, self.last_seq(stream) - lines), lines)

    @abstractmethod
    def append(self, stream: str, count: int, data: bytes) -> int:
        """Store a chunk of `count` lines behind the last one; answers the last sequence number."""

    @abstractmethod
    def holds(self, stream: str, since: int, data: bytes) -> bool:
        """Is exactly this chunk stored after `since`?"""

    @abstractmethod
    def last_seq(self, stream: str) -> int:
        """Sequence number of the last stored line, 0 without any."""

    @abstractmethod
    def delete(self, stream: str) -> None:
        """Forget a stream."""

    @abstractmethod
    def streams(self) -> tuple[str, ...]:
        """All stored streams."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections of this process; the next use opens new ones."""

    @abstractmethod
    def _rows(self, stream: str, above: int, upto: int) -> list[Row]:
        """Chunks with above < last_seq <= upto, in order."""

    def _after(self, stream: str, since: int, lines: int) -> list[Row]:
        """All chunks that begin within `lines` lines after `since`."""
        since = max(0, since)
        return self._rows(stream, since, since + lines + CHUNK_LINES - 1)
