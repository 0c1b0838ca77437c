"""What teams do when something happens elsewhere."""

from __future__ import annotations

from devflow.core.access import SYSTEM
from devflow.core.events import on
from devflow.features.accounts.events import AccountCreated
from devflow.features.teams import service


@on(AccountCreated)
def personal_team(fact: AccountCreated) -> None:
    service.ensure_personal(SYSTEM, fact.user_id, fact.name)
