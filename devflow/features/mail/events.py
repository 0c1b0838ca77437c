"""Facts about letters."""

from __future__ import annotations

from dataclasses import dataclass

from devflow.core.events import fact


@fact
@dataclass(frozen=True)
class LetterWritten:
    """A letter waits to be sent; `turn` tells a second sending from a fact that is heard twice."""

    letter_id: str
    turn: str = ""
