"""Counting tries at something that is guarded, in a place that all processes share if there is one."""

from __future__ import annotations

from typing import Protocol


class Tries(Protocol):
    def take(self, name: str, limit: int, seconds: int) -> int:
        """Count one try; at most `limit` in `seconds`. Returns 0, or the seconds until the next one may be made."""
        ...

    def forgive(self, name: str, limit: int, seconds: int) -> None:
        """Forget the tries counted under this name with this limit."""
        ...
