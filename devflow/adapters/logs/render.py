"""How lines become the bytes of one stored chunk, and back. Pure.

A chunk is `[base, steps, deltas, codes, places, messages]`: the time of its first line, the steps it names, and four
columns (milliseconds since `base`, level and stream in one number, index into `steps`, text). Sequence numbers are not
inside: the row that carries the chunk knows them.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple, get_args, get_type_hints

import orjson

from devflow.ports.logs import Chunk, Level, Line

CHUNK_LINES = 500
"""Most lines of one chunk. Stored chunks never hold more; reading relies on it."""

CHUNK_BYTES = 256 * 1024
"""Text after which a chunk is full, so that one frame to a viewer stays small."""

COMPRESS_FROM = 512
"""Bytes below which zlib gains nothing worth its time."""

LEVELS: tuple[str, ...] = get_args(Level)
STREAMS: tuple[str, ...] = get_args(get_type_hints(Line)["stream"])
_CODES = {(level, stream): i * 4 + j for i, level in enumerate(LEVELS) for j, stream in enumerate(STREAMS)}
_PAIRS = {code: pair for pair, code in _CODES.items()}
_USUAL = _CODES["info", "system"]
_PLAIN = ord("[")  # a zlib stream starts with 0x78


class Entry(NamedTuple):
    """A line before it has its sequence number."""

    at: int
    level: str
    stream: str
    step: str
    message: str


class Row(NamedTuple):
    """A stored chunk: its first and last sequence number and its bytes."""

    first: int
    last: int
    data: bytes


def encode(entries: Sequence[Entry]) -> bytes:
    """The bytes of a chunk, compressed when that makes it smaller."""
    base = entries[0].at
    steps = {step: i for i, step in enumerate(dict.fromkeys(entry.step for entry in entries))}
    plain = orjson.dumps(
        (
            base,
            list(steps),
            [entry.at - base for entry in entries],
            [_CODES.get((entry.level, entry.stream), _USUAL) for entry in entries],
            [steps[entry.step] for entry in entries],
            [entry.message for entry in entries],
        )
    )
    if len(plain) < COMPRESS_FROM:
        return plain
    packed = zlib.compress(plain, 1)
    return packed if len(packed) < len(plain) else plain


def decode(row: Row) -> tuple[Line, ...]:
    """The lines of a stored chunk, with their sequence numbers."""
    plain = row.data if row.data[0] == _PLAIN else zlib.decompress(row.data)
    base, steps, deltas, codes, places, messages = orjson.loads(plain)
    columns = zip(
        range(row.first, row.last + 1),
        [base + delta for delta in deltas],
        [_PAIRS[code][0] for code in codes],
        [_PAIRS[code][1] for code in codes],
        [steps[place] for place in places],
        messages,
        strict=True,
    )
    return tuple(map(Line._make, columns))


def merge(rows: Sequence[Row], since: int) -> tuple[Chunk, ...]:
    """Stored chunks as larger ones of at most `CHUNK_LINES` lines, cut so that the first starts at `since + 1`."""
    chunks: list[Chunk] = []
    lines: list[Line] = []
    size = 0
    for row in rows:
        more = decode(row)[max(0, since + 1 - row.first) :]
        text = sum(len(line.message) for line in more)
        if lines and (len(lines) + len(more) > CHUNK_LINES or size + text > CHUNK_BYTES):
            chunks.append(_chunk(lines))
            lines, size = [], 0
        lines.extend(more)
        size += text
    if lines:
        chunks.append(_chunk(lines))
    return tuple(chunks)


def _chunk(lines: Sequence[Line]) -> Chunk:
    return Chunk(lines[0].seq, lines[-1].seq, tuple(lines))
