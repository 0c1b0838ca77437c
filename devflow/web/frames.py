"""WebSocket frames from server to browser (RFC 6455): unmasked, never fragmented, never compressed. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterable

_FIN = 0x80
_TEXT, _CLOSE, _PING = 0x1, 0x8, 0x9
_REASON_BYTES = 123  # a control frame carries 125 bytes, two of them the code


def text_frame(message: str) -> bytes:
    return _frame(_TEXT, message.encode(errors="replace"))


def text_frames(messages: Iterable[str]) -> bytes:
    """One frame a message, as one piece of data."""
    return b"".join(text_frame(message) for message in messages)


def close_frame(code: int, reason: str = "") -> bytes:
    return _frame(_CLOSE, struct.pack("!H", code) + short_reason(reason).encode())


def ping_frame() -> bytes:
    return _frame(_PING, b"")


def short_reason(reason: str) -> str:
    """As much of a reason as a close frame can carry."""
    return reason.encode(errors="replace")[:_REASON_BYTES].decode(errors="ignore")


def _frame(kind: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((_FIN | kind, size)) + payload
    if size < 65536:
        return struct.pack("!BBH", _FIN | kind, 126, size) + payload
    return struct.pack("!BBQ", _FIN | kind, 127, size) + payload
