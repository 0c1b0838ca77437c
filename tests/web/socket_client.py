"""Viewers for tests and the bench: a crowd on one event loop that checks that every line comes once and in order."""

from __future__ import annotations

import asyncio
import base64
import random
import re
import secrets
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import orjson

_RANGE = re.compile(rb'\{"type":"lines","from":(\d+),"to":(\d+)')
_TEXT, _CLOSE, _PING = 1, 8, 9


@dataclass
class Report:
    """What a crowd saw. `lags` are seconds from writing a line to its arrival, for lines that carry their time."""

    finished: int = 0
    wrong: int = 0
    reconnects: int = 0
    lines: int = 0
    seconds: float = 0.0
    lags: list[float] = field(default_factory=list)


class Viewer(asyncio.Protocol):
    """One connection; `seq` is the last line seen."""

    def __init__(self, path: str, seq: int, target: int, report: Report, measure: bool) -> None:
        self.path, self.seq, self.target, self.report, self.measure = path, seq, target, report, measure
        self.joined = asyncio.Event()
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._buffer = bytearray()
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(handshake(f"{self.path}&since={self.seq}"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._upgraded:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            assert self._buffer.startswith(b"HTTP/1.1 101"), bytes(self._buffer[:200])
            self._upgraded = True
            self.joined.set()
            del self._buffer[: end + 4]
        used = 0
        while frame := parse_frame(self._buffer, used):
            kind, start, used = frame
            if kind == _TEXT:
                self._lines(bytes(self._buffer[start:used]))
            elif kind == _PING:
                self._transport.write(masked_frame(10, b""))
            elif kind == _CLOSE:
                self._transport.close()
        del self._buffer[:used]

    def connection_lost(self, error: Exception | None) -> None:
        self._end(False)

    def abort(self) -> None:
        self._transport.abort()

    def _end(self, finished: bool) -> None:
        self.joined.set()
        if not self.ended.done():
            self.ended.set_result(finished)

    def _lines(self, payload: bytes) -> None:
        found = _RANGE.match(payload)
        assert found, payload[:200]
        first, last = int(found[1]), int(found[2])
        self.report.wrong += first != self.seq + 1
        if self.measure:
            now = time.time()
            for seq, _, _, _, _, message in orjson.loads(payload)["lines"]:
                self.seq += 1
                self.report.wrong += seq != self.seq
                self.report.lags.append(now - float(message.split(" ", 1)[0]))
        self.seq = last
        self.report.lines += last - first + 1
        if last >= self.target:
            self._end(True)


async def watch(
    port: int, path: str, viewers: int, target: int, *, cuts: int = 0, ready: Callable[[], object] | None = None
) -> Report:
    """Let a crowd read a stream to its line `target`; everybody loses the connection `cuts` times."""
    report = Report()
    started = time.monotonic()
    tasks = [asyncio.create_task(_view(port, path, n, target, cuts, report)) for n in range(viewers)]
    if ready:
        await asyncio.to_thread(ready)
    await asyncio.gather(*tasks)
    report.seconds = time.monotonic() - started
    return report


async def _view(port: int, path: str, number: int, target: int, cuts: int, report: Report) -> None:
    seq = 0
    loop = asyncio.get_running_loop()
    while True:
        made = partial(Viewer, f"{path}?owner={number}", seq, target, report, number < 3)
        _, viewer = await loop.create_connection(made, "127.0.0.1", port)
        await viewer.joined.wait()
        if cuts > 0:
            cuts -= 1
            loop.call_later(random.uniform(0.05, 0.6), viewer.abort)
        finished = await viewer.ended
        seq = viewer.seq
        if finished:
            viewer.abort()
            report.finished += 1
            return
        report.reconnects += 1


def handshake(path: str, headers: str = "") -> bytes:
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    ).encode()


def masked_frame(kind: int, payload: bytes) -> bytes:
    """A frame from a client; with a mask of zeros the payload stays readable."""
    assert len(payload) < 126
    return bytes((0x80 | kind, 0x80 | len(payload))) + bytes(4) + payload


def parse_frame(data: bytes | bytearray, at: int) -> tuple[int, int, int] | None:
    """Kind, start and end of the frame at a place, or None while it is not complete."""
    if len(data) - at < 2:
        return None
    size, start = data[at + 1] & 127, at + 2
    if size == 126:
        if len(data) - at < 4:
            return None
        size, start = struct.unpack_from("!H", data, at + 2)[0], at + 4
    elif size == 127:
        if len(data) - at < 10:
            return None
        size, start = struct.unpack_from("!Q", data, at + 2)[0], at + 10
    return (data[at] & 15, start, start + size) if len(data) >= start + size else None
