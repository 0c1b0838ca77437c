"""Identifiers: UUID version 7 (RFC 9562), so that the order of ids is the order of creation."""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from datetime import datetime

_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """A new UUIDv7 as text; within one process each is greater than the one before."""
    global _last
    with _lock:
        # 48 bits of milliseconds and 12 bits of their fraction make one rising number.
        stamp = max(time.time_ns() * 4096 // 1_000_000, _last + 1)
        _last = stamp
    return _text(stamp, secrets.randbits(62))


def first_id_at(moment: datetime) -> str:
    """No id made from this moment on is smaller, none made before is greater: a span of time is a span of ids."""
    return _text(int(moment.timestamp() * 1000) << 12, 0)


def _text(stamp: int, rest: int) -> str:
    return str(uuid.UUID(int=(stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64 | 0b10 << 62 | rest))
