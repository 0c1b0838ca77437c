"""Refused attempts that would only say the same again: a row cannot be changed, so repeats are not written."""

from __future__ import annotations

import threading

WINDOW = 60.0
"""Seconds in which the same attempt is written once."""
ADDRESSES = 10
"""Different addresses written for one caller and permission in a window."""
MOST = 10_000
"""Callers remembered at once; when there are more, the oldest are forgotten."""


class Repeats:
    """Remembers, in this process, what was written lately and how often it came again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began: dict[tuple[str, str], float] = {}
        self._seen: dict[tuple[str, str], set[str]] = {}
        self._dropped: dict[tuple[str, str], int] = {}

    def admit(self, who: str, action: str, address: str, at: float) -> int | None:
        """None for an attempt that is left out; else how many were left out before it. `at` is a steady clock."""
        key = (who, action)
        with self._lock:
            if at - self._began.get(key, at - WINDOW) >= WINDOW:
                self._forget_old(at)
                self._began[key], self._seen[key] = at, set()
            seen = self._seen[key]
            if address in seen or len(seen) >= ADDRESSES:
                self._dropped[key] = self._dropped.get(key, 0) + 1
                return None
            seen.add(address)
            return self._dropped.pop(key, 0)

    def _forget_old(self, at: float) -> None:
        if len(self._began) < MOST:
            return
        by_age = sorted(self._began, key=self._began.__getitem__)
        for key in by_age[: MOST // 10]:
            for memory in (self._began, self._seen, self._dropped):
                memory.pop(key, None)
