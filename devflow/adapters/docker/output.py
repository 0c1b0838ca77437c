"""What a container prints, from before its first byte until it ends for good.

Attached before the start, nothing is lost (following the engine's own log files loses lines when they rotate). An
attached stream ends with the process, so the runs after a restart are read from the log, from where the last one ended.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import requests
from docker.errors import APIError, NotFound

from devflow.adapters.docker.connection import GONE, Connection, let_go
from devflow.adapters.docker.lines import Lines
from devflow.adapters.docker.wire import reader
from devflow.core.errors import DomainError
from devflow.ports.engine import OnOutput

log = logging.getLogger(__name__)

Stream = Literal["stdout", "stderr"]
READ = 256 * 1024
ROTATED = 50_000_000
"""Bytes; from here on the engine may have dropped the oldest part of its log."""
SETTLE = 10.0
"""Seconds the engine has to say whether a process that ended comes back."""
NANO = 1_000_000_000


def frames(chunks: Iterable[bytes]) -> Iterator[tuple[Stream, bytes]]:
    """The engine's multiplexed stream, taken apart."""
    buffer = b""
    for chunk in chunks:
        buffer += chunk
        at = 0
        while len(buffer) - at >= 8:
            end = at + 8 + int.from_bytes(buffer[at + 4 : at + 8], "big")
            if len(buffer) < end:
                break
            yield "stderr" if buffer[at] == 2 else "stdout", buffer[at + 8 : end]
            at = end
        buffer = buffer[at:]


def lines(parts: Iterable[tuple[Stream, bytes]]) -> Iterator[tuple[Stream, str]]:
    """Whole lines, each stream put together by itself."""
    open_lines: dict[Stream, Lines] = {"stdout": Lines(), "stderr": Lines()}
    for stream, data in parts:
        for text in open_lines[stream].feed(data):
            yield stream, text
    for stream, rest in open_lines.items():
        for text in rest.flush():
            yield stream, text


def nanoseconds(stamp: str) -> int:
    """The engine's RFC 3339 time since 1970, to the nanosecond."""
    whole, _, fraction = stamp.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    return seconds * NANO + int(fraction.ljust(9, "0")[:9] or 0)


class Output:
    """One container's output. `open` before its start, then `begin` (own thread) or `attached` (the caller's)."""

    def __init__(self, connection: Connection, container: str) -> None:
        self._connection, self._container = connection, container
        self._response: requests.Response | None = None
        self._seen: dict[Stream, int] = {"stdout": 0, "stderr": 0}
        self._bytes = 0
        self._cursor: dict[Stream, int] = {"stdout": 0, "stderr": 0}

    def open(self) -> None:
        params = {"stdout": 1, "stderr": 1, "stream": 1}
        api = self._connection.stream()
        self._response = api.ask("POST", "/containers/{0}/attach", self._container, params=params, stream=True)

    def close(self) -> None:
        let_go(self._response)

    def attached(self) -> Iterator[tuple[Stream, str]]:
        """Lines of the first run, until its process ends."""
        file = reader(self._response)
        return lines(self._counted(frames(iter(lambda: file.read1(READ), b""))))

    def _counted(self, parts: Iterable[tuple[Stream, bytes]]) -> Iterator[tuple[Stream, bytes]]:
        """Remembers how many lines came, to know where the log goes on."""
        unended: dict[Stream, bool] = {"stdout": False, "stderr": False}
        for stream, data in parts:
            self._seen[stream] += data.count(b"\n")
            self._bytes += len(data)
            unended[stream] = not data.endswith(b"\n")
            yield stream, data
        for stream, rest in unended.items():
            self._seen[stream] += rest

    def begin(self, on_output: OnOutput, started: str) -> None:
        """Hand every line to `on_output` in a thread that ends with the container; `started` tells the runs apart."""
        threading.Thread(
            target=self._follow, args=(on_output, started), name=f"output-{self._container[:12]}", daemon=True
        ).start()

    def _follow(self, on_output: OnOutput, started: str) -> None:
        try:
            for stream, text in self.attached():
                on_output(stream, text)
            if self._bytes >= ROTATED:  # the start of the log may be gone, so lines cannot be counted
                now = time.time_ns()
                self._seen, self._cursor = {"stdout": 0, "stderr": 0}, {"stdout": now, "stderr": now}
            while state := self._next_run(started):
                for stream, text in lines(self._logged()):
                    on_output(stream, text)
                if not state["Running"]:
                    return
                started = state["StartedAt"]
        except (DomainError, *GONE):
            log.info("The output of container %s ended with its engine.", self._container[:12])
        finally:
            self.close()

    def _next_run(self, started: str) -> dict[str, Any] | None:
        """The state of a run after the one that `started` then (or of its end); None when there was none."""
        patience = time.monotonic() + SETTLE
        while True:
            try:
                inspected = self._connection.api.inspect_container(self._container)
            except NotFound:
                return None
            state: dict[str, Any] = inspected["State"]
            if state["Status"] not in ("running", "restarting", "paused"):
                return state if state["StartedAt"] != started else None
            if state["Status"] == "running" and (state["StartedAt"] != started or time.monotonic() > patience):
                return state
            time.sleep(0.05)

    def _logged(self) -> Iterator[tuple[Stream, bytes]]:
        """Entries of the log that are new to us, until the process ends."""
        api = self._connection.stream()
        newest = max(0, max(self._cursor.values()) - NANO)  # the streams are logged side by side, not in strict order
        since = f"{newest // NANO}.{newest % NANO:09d}"
        options = {"stdout": 1, "stderr": 1, "follow": 1, "timestamps": 1, "since": since}
        endless = (api.timeout, None)
        try:
            response = api.ask(
                "GET", "/containers/{0}/logs", self._container, params=options, stream=True, timeout=endless
            )
        except APIError:
            return  # removed meanwhile: the next look at the container says so
        try:
            for stream, entry in frames(api.chunks(response)):
                if (data := self._new(stream, entry)) is not None:
                    yield stream, data
        finally:
            let_go(response)

    def _new(self, stream: Stream, entry: bytes) -> bytes | None:
        """An entry without its time, unless it came before: attached, or in an earlier read of the log."""
        stamp, _, data = entry.partition(b" ")
        at = nanoseconds(stamp.decode("ascii"))
        if at < self._cursor[stream]:
            return None
        self._cursor[stream] = at + 1
        if self._seen[stream] > 0:
            self._seen[stream] -= data.endswith(b"\n")
            return None
        return data
