"""Somebody who looks at the parts DevFlow depends on and says in plain words how they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True)
class Check:
    """One finding: `says` how it is, `mend` what to do about it (empty when it is fine)."""

    name: str
    state: Literal["ok", "warn", "fail"]
    says: str
    mend: str = ""


class Doctor(Protocol):
    def checks(self) -> Sequence[Check]:
        """Look at everything; never raises, and takes a few seconds at most."""
        ...
