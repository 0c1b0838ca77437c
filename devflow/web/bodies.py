"""Bodies that nobody read: taken off the wire, so that whoever sends them hears the answer instead of a reset."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

AT_MOST = 64 * 1024 * 1024
PATIENCE = 10.0
"""Seconds; a longer or slower rest is cut off together with the connection."""
_PIECE = 64 * 1024

Application = Callable[..., Iterable[bytes]]


def taken(application: Application) -> Application:
    """WSGI middleware: after each request the rest of its body is read and dropped."""

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        length = _length(environ)
        if length == 0:
            return application(environ, start_response)
        body = environ["wsgi.input"] = _Counted(environ["wsgi.input"])
        try:
            return application(environ, start_response)
        finally:
            body.drop(AT_MOST if length is None else min(length - body.count, AT_MOST))

    return serve


def _length(environ: dict[str, Any]) -> int | None:
    """Bytes of the body; None for one in chunks whose end the server knows; 0 where there is none to read."""
    if environ.get("wsgi.input_terminated") and "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        return None
    given = environ.get("CONTENT_LENGTH") or "0"
    return int(given) if given.isdigit() else 0


class _Counted:
    """A body that knows how much of it was read."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        return self._counted(self._stream.read(size) if size >= 0 else self._stream.read())

    def readline(self, size: int = -1) -> bytes:
        return self._counted(self._stream.readline(size) if size >= 0 else self._stream.readline())

    def readlines(self, hint: int = -1) -> list[bytes]:
        return list(self)

    def __iter__(self) -> Any:
        return iter(self.readline, b"")

    def _counted(self, data: bytes) -> bytes:
        self.count += len(data)
        return data

    def drop(self, size: int) -> None:
        """Read so many bytes for nothing, as long as they keep coming."""
        until = time.monotonic() + PATIENCE
        try:
            while size > 0 and time.monotonic() < until:
                piece = self._stream.read(min(size, _PIECE))
                if not piece:
                    return
                size -= len(piece)
        except (OSError, ValueError):
            return  # whoever sent it has gone
