"""Tries counted in memory, or in Redis where several processes answer."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import TypeVar, cast

from limits import RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

log = logging.getLogger(__name__)
T = TypeVar("T")
_ROOM = "tries"
_AGAIN = 10.0
"""Seconds until a store that did not answer is asked again."""


class CountedTries:
    """`Tries` in fixed windows. While the shared store does not answer, this process counts for itself."""

    def __init__(self, redis_url: str = "") -> None:
        self._here = FixedWindowRateLimiter(MemoryStorage())
        self._shared = FixedWindowRateLimiter(_redis(redis_url)) if redis_url else None
        self._away_until = 0.0

    def take(self, name: str, limit: int, seconds: int) -> int:
        item = RateLimitItemPerSecond(limit, seconds)

        def count(rates: FixedWindowRateLimiter) -> int:
            if rates.hit(item, _ROOM, name):
                return 0
            return max(1, math.ceil(rates.get_window_stats(item, _ROOM, name).reset_time - time.time()))

        return self._counted(count)

    def forgive(self, name: str, limit: int, seconds: int) -> None:
        self._counted(lambda rates: rates.clear(RateLimitItemPerSecond(limit, seconds), _ROOM, name))

    def _counted(self, work: Callable[[FixedWindowRateLimiter], T]) -> T:
        if self._shared is not None and time.monotonic() >= self._away_until:
            try:
                return work(self._shared)
            except StorageError as error:
                log.warning("Tries are counted in this process, Redis does not answer: %s", error)
                self._away_until = time.monotonic() + _AGAIN
        return work(self._here)


def _redis(url: str) -> MemoryStorage:
    made = storage_from_string(url, wrap_exceptions=True, socket_timeout=0.5, socket_connect_timeout=0.5)
    return cast(MemoryStorage, made)
