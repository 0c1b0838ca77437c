"""Facts about letters."""

from __future__ import annotations

from dataclasses import dataclass

from devflow.core.events import fact


@fact
@dataclass(frozen=True)
class LetterWritten:
    letter_id: str
