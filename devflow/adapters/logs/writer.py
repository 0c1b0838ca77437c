"""Writing: lines are collected and stored in chunks by one background thread for all writers of a process."""

from __future__ import annotations

import atexit
import threading
import time
from itertools import islice
from typing import Protocol

from devflow.adapters.logs.masking import Mask
from devflow.adapters.logs.render import CHUNK_BYTES, CHUNK_LINES, Entry, encode
from devflow.adapters.logs.text import cut, lines_of
from devflow.core.errors import Unavailable
from devflow.ports.logs import Level

FLUSH_EVERY = 0.05
"""Seconds between two flushes of one writer."""

BUFFER_LINES = 50_000
BUFFER_BYTES = 16 * 1024 * 1024
"""What a writer holds while the store does not keep up; beyond it `write` waits."""

PATIENCE = 10.0
"""Seconds without any progress of the store until `write`, `flush` and `close` give up."""


class Store(Protocol):
    """What a writer needs of a store. Both raise `Unavailable`."""

    def append(self, stream: str, count: int, data: bytes) -> int:
        """Store the chunk behind the last one of its stream; answers the sequence number of its last line."""
        ...

    def holds(self, stream: str, since: int, data: bytes) -> bool:
        """Is exactly this chunk stored after `since`?"""
        ...


class ChunkWriter:
    """A `LogWriter`. Safe to use from several threads.

    Sequence numbers are given by the store, in the transaction that stores the chunk: whoever writes to a stream,
    it has no gap and no number twice. A failed flush keeps its lines; they are stored when the store is back.
    """

    def __init__(self, stream: str, mask: Mask, store: Store, flusher: Flusher, patience: float = PATIENCE) -> None:
        self._stream, self._mask, self._store, self._flusher = stream, mask, store, flusher
        self._patience = patience
        self._room = threading.Condition(threading.Lock())
        self._flushing = threading.Lock()
        self._entries: list[Entry] = []
        self._bytes = 0
        self._last = 0
        self._attempt: tuple[int, bytes] | None = None  # a chunk of which we do not know whether it was stored
        self._closed = False
        self._stuck = False
        self.due = 0.0

    @property
    def waiting(self) -> int:
        """Lines not stored yet."""
        return len(self._entries)

    def write(self, message: str, *, level: Level = "info", stream: str = "system", step: str = "") -> None:
        """Append; raises `Unavailable` when the buffer is full and the store has made no progress for a while."""
        at = time.time_ns() // 1_000_000
        step = step if step.isprintable() else lines_of(step)[0]
        entries = [Entry(at, level, stream, step, cut(self._mask(line))) for line in lines_of(message)]
        with self._room:
            if self._closed:
                raise ValueError("This log is closed; nothing more can be written to it.")
            self._wait_for_room()
            first = not self._entries
            self._entries += entries
            self._bytes += sum(len(entry.message) for entry in entries)
            full = len(self._entries) >= CHUNK_LINES > len(self._entries) - len(entries)
        if first or full:
            self._flusher.add(self, now=full)

    def flush(self) -> None:
        """Store what is waiting now. Raises `Unavailable`; the lines stay and are tried again."""
        with self._flushing:
            left = len(self._entries)
            while left > 0:
                left -= self._store_chunk()

    def close(self) -> None:
        """Store the rest, trying for a while. Raises `Unavailable`; closing again tries again."""
        with self._room:
            self._closed = True
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return self.flush()
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
            time.sleep(FLUSH_EVERY)

    def _wait_for_room(self) -> None:
        while len(self._entries) >= BUFFER_LINES or self._bytes >= BUFFER_BYTES:
            before = len(self._entries)
            if self._stuck or (not self._room.wait(self._patience) and len(self._entries) >= before):
                self._stuck = True  # the next line need not wait as long again
                raise Unavailable(
                    f"The log store has taken nothing for {self._patience:.0f} seconds and the buffer is full, so this "
                    "line could not be kept. Check the database and the free disk space, then try again."
                )

    def _store_chunk(self) -> int:
        """Store the oldest lines as one chunk and forget them; answers how many they were."""
        known = self._attempt
        count, data = self._attempt = known or self._next_chunk()
        if not (known and self._store.holds(self._stream, self._last, data)):
            self._last = self._store.append(self._stream, count, data)
        with self._room:
            self._attempt = None
            self._stuck = False
            self._bytes -= sum(len(entry.message) for entry in islice(self._entries, count))
            del self._entries[:count]
            self._room.notify_all()
        return count

    def _next_chunk(self) -> tuple[int, bytes]:
        with self._room:
            entries = self._entries[:CHUNK_LINES]
        size = 0
        for count, entry in enumerate(entries, 1):
            size += len(entry.message)
            if size >= CHUNK_BYTES:
                return count, encode(entries[:count])
        return len(entries), encode(entries)


class Flusher:
    """The thread that flushes the writers of this process. It sleeps while there is nothing to store."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._writers: set[ChunkWriter] = set()
        self._thread: threading.Thread | None = None

    def add(self, writer: ChunkWriter, *, now: bool = False) -> None:
        """Flush this writer when it is due, or now."""
        with self._wake:
            if now:
                writer.due = 0.0
            self._writers.add(writer)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log-flusher", daemon=True)
                self._thread.start()
                atexit.register(self.drain)
            self._wake.notify()

    def drain(self) -> None:
        """Store what all writers hold, as far as the store lets us; for the end of the process."""
        with self._wake:
            writers = list(self._writers)
        for writer in writers:
            self._flush(writer)

    def _run(self) -> None:
        while True:
            for writer in self._next():
                self._flush(writer)

    def _next(self) -> list[ChunkWriter]:
        """Wait until a writer is due; writers stay listed while they hold lines."""
        with self._wake:
            while True:
                self._writers = {writer for writer in self._writers if writer.waiting}
                now = time.monotonic()
                if ready := [writer for writer in self._writers if writer.due <= now]:
                    return ready
                self._wake.wait(min((writer.due for writer in self._writers), default=now + 3600) - now)

    def _flush(self, writer: ChunkWriter) -> None:
        try:
            writer.flush()
            pause = FLUSH_EVERY
        except Unavailable:
            pause = FLUSH_EVERY * 4
        with self._wake:
            writer.due = 0.0 if writer.waiting >= CHUNK_LINES and pause == FLUSH_EVERY else time.monotonic() + pause
