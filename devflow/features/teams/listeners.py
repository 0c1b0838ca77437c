"""What teams do when something happens elsewhere."""

from __future__ import annotations

from devflow.core.access import SYSTEM
from devflow.core.events import on
from devflow.features.accounts.events import AccountCreated
from devflow.features.accounts.service.entering import may_join
from devflow.features.teams.service import ensure_personal
from devflow.features.teams.service.inviting import invited

may_join.register(invited)


@on(AccountCreated)
def personal_team(fact: AccountCreated) -> None:
    ensure_personal(SYSTEM, fact.user_id, fact.name)
