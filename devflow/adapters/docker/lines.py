"""Bytes as they come in, whole lines of text out."""

from __future__ import annotations

from collections.abc import Iterator

LONGEST = 16 * 1024
"""Bytes; a longer line goes on in the next one, so nothing is lost and nobody's memory fills up."""


class Lines:
    """Cuts one stream into lines; `fold` keeps only the last state of a line redrawn with carriage returns."""

    def __init__(self, fold: bool = False) -> None:
        self._fold = fold
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[str]:
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            yield from self._pieces(line)
        if len(self._rest) > LONGEST:
            yield from self._overflow()

    def flush(self) -> Iterator[str]:
        """What is left when the stream ends without a line end."""
        rest, self._rest = self._rest, b""
        if rest:
            yield from self._pieces(rest)

    def _overflow(self) -> Iterator[str]:
        if self._fold and b"\r" in self._rest.rstrip(b"\r"):
            self._rest = self._rest.rstrip(b"\r").rpartition(b"\r")[2]
        while len(self._rest) > LONGEST:
            end = _character_end(self._rest)
            piece, self._rest = self._rest[:end], self._rest[end:]
            yield piece.decode(errors="replace")

    def _pieces(self, line: bytes) -> Iterator[str]:
        line = line.rstrip(b"\r")
        if self._fold:
            line = line.rpartition(b"\r")[2]
        while len(line) > LONGEST:
            end = _character_end(line)
            yield line[:end].decode(errors="replace")
            line = line[end:]
        yield line.decode(errors="replace")


def _character_end(line: bytes) -> int:
    """The last place at or before `LONGEST` that does not cut a UTF-8 character in two."""
    for end in range(LONGEST, LONGEST - 4, -1):
        if line[end] & 0xC0 != 0x80:
            return end
    return LONGEST
