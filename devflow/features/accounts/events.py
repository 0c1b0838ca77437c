"""Facts about accounts."""

from __future__ import annotations

from dataclasses import dataclass

from devflow.core.events import fact


@fact
@dataclass(frozen=True)
class AccountCreated:
    user_id: str
    name: str
