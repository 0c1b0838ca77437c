"""What accounts do when something happens elsewhere."""

from __future__ import annotations

from devflow.core.access import SYSTEM
from devflow.core.events import on
from devflow.features.accounts.service import alarming
from devflow.features.audit.events import ChainBroken


@on(ChainBroken)
def audit_broken(fact: ChainBroken) -> None:
    alarming.audit_broken(SYSTEM, fact.says, fact.mend, fact.at)
