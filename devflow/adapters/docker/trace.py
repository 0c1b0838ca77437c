"""What BuildKit says while it builds: protobuf of `moby.buildkit.trace`, as our build events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from devflow.adapters.docker.lines import Lines
from devflow.ports.engine import BuildEvent, BuildOutput, BuildStep

# moby.buildkit.v1.StatusResponse (api/services/control/control.proto)
VERTEX, LOG = 1, 3
DIGEST, NAME, CACHED, STARTED, COMPLETED, ERROR = 1, 3, 4, 5, 6, 7
LOG_VERTEX, LOG_STREAM, LOG_TEXT = 1, 3, 4


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of every field of a protobuf message; raises `ValueError` when it is cut short."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        else:
            size = 8 if kind == 1 else 4
        if at + size > len(data):
            raise ValueError("a protobuf field is cut short")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    shift = value = 0
    while at < len(data):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("a protobuf number is cut short")


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(value: int | bytes | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else ""


@dataclass
class _Step:
    name: str
    started: bool = False
    ended: bool = False
    lines: dict[Literal["stdout", "stderr"], Lines] = field(default_factory=dict)


class Progress:
    """Follows one build. BuildKit repeats itself; here every step starts once and ends once.

    It names a step's end together with the last lines, and sends those that are too many for one message in further
    messages without steps. So an end is held back until the next news of steps: it comes after the step's last line.
    """

    def __init__(self) -> None:
        self._steps: dict[str, _Step] = {}
        self._ending: list[tuple[_Step, BuildStep]] = []
        self.failed = ""
        """Name of the step that failed, if one did."""

    def feed(self, message: bytes) -> Iterator[BuildEvent]:
        news = [(number, dict(fields(value))) for number, value in fields(message) if isinstance(value, bytes)]
        vertices = [inner for number, inner in news if number == VERTEX]
        if vertices:
            yield from self._end()
        for inner in vertices:
            yield from self._vertex(inner)
        for number, inner in news:
            if number == LOG:
                yield from self._log(inner)

    def flush(self) -> Iterator[BuildEvent]:
        """Ends that were held back, and last lines that had no line end."""
        yield from self._end()
        for step in self._steps.values():
            yield from self._rest(step)

    def _end(self) -> Iterator[BuildEvent]:
        ending, self._ending = self._ending, []
        for step, event in ending:
            yield from self._rest(step)
            yield event

    def _vertex(self, inner: dict[int, int | bytes]) -> Iterator[BuildEvent]:
        step = self._steps.setdefault(text(inner.get(DIGEST)), _Step(text(inner.get(NAME))))
        if STARTED not in inner or step.ended:
            return
        error = text(inner.get(ERROR))
        if not step.started:
            step.started = True
            if inner.get(CACHED) != 1:
                yield BuildStep(step.name, "started")
        if COMPLETED not in inner and not error:
            return
        step.ended = True
        self.failed = self.failed or (step.name if error else "")
        if inner.get(CACHED) == 1 and not error:
            yield BuildStep(step.name, "cached")
        else:
            self._ending.append((step, BuildStep(step.name, "failed" if error else "done", error)))

    def _log(self, inner: dict[int, int | bytes]) -> Iterator[BuildEvent]:
        step = self._steps.setdefault(text(inner.get(LOG_VERTEX)), _Step(""))
        stream: Literal["stdout", "stderr"] = "stderr" if inner.get(LOG_STREAM) == 2 else "stdout"
        data = inner.get(LOG_TEXT, b"")
        if isinstance(data, bytes):
            for line in step.lines.setdefault(stream, Lines(fold=True)).feed(data):
                yield BuildOutput(step.name, stream, line)

    @staticmethod
    def _rest(step: _Step) -> Iterator[BuildEvent]:
        for stream, lines in step.lines.items():
            for line in lines.flush():
                yield BuildOutput(step.name, stream, line)
