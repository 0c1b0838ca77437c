"""Facts about the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from devflow.core.events import fact


@fact
@dataclass(frozen=True)
class ChainBroken:
    """A check of the audit's chain has found a fault that was not known before."""

    says: str
    mend: str
    at: str
