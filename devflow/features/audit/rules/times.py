"""When the chain is checked."""

from __future__ import annotations

from datetime import datetime, timedelta

NIGHT = range(1, 6)
"""Hours of the server's own clock in which people are least disturbed."""
_SOON = timedelta(hours=20)
_LATE = timedelta(hours=48)


def whole_is_due(last: datetime | None, at: datetime) -> bool:
    """Is it time to read every entry again? Once a night; by day only where the nights were missed. `at` is in the
    server's own time."""
    if last is None or last > at:  # never, or by a clock that was ahead
        return True
    return at - last > (_SOON if at.hour in NIGHT else _LATE)
