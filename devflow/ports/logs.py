"""Where logs live: append lines with a sequence number, read them by range."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

Level = Literal["debug", "info", "success", "warning", "error", "command"]


class Line(NamedTuple):
    """One line of a log. `at` is Unix time in milliseconds; `step` groups lines; `message` may hold ANSI colours.

    A tuple, because a log has 100,000 of them: a frozen dataclass takes three times as long to make.
    """

    seq: int
    at: int
    level: Level
    stream: Literal["stdout", "stderr", "system"]
    step: str
    message: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Neighbouring lines, first.seq..last.seq without a gap."""

    first: int
    last: int
    lines: tuple[Line, ...]


class LogWriter(Protocol):
    """The one writer of a stream. Lines get the next seq and are flushed every 50 ms or 500 lines."""

    def write(self, message: str, *, level: Level = "info", stream: str = "system", step: str = "") -> None:
        """Append; secrets are masked before anything is stored. Text with line ends becomes several lines."""
        ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class Logs(Protocol):
    def writer(self, stream: str, secrets: Iterable[str] = ()) -> LogWriter:
        """Go on writing after the last stored line. `secrets` are masked as they are, base64- and URL-encoded."""
        ...

    def read(self, stream: str, since: int = 0, limit: int = 1000) -> tuple[Line, ...]:
        """Lines with seq > since, in order, at most `limit`."""
        ...

    def chunks(self, stream: str, since: int) -> tuple[Chunk, ...]:
        """The next few chunks after `since`, the first one cut so that it starts at since + 1."""
        ...

    def last_seq(self, stream: str) -> int: ...

    def tail(self, stream: str, lines: int) -> tuple[Line, ...]: ...

    def delete(self, stream: str) -> None: ...

    def streams(self) -> tuple[str, ...]:
        """All stored streams, for housekeeping."""
        ...
