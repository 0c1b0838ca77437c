"""What tokens do when something happens elsewhere."""

from __future__ import annotations

from devflow.core.access import SYSTEM
from devflow.core.events import on
from devflow.features.accounts.events import AccountReclaimed
from devflow.features.teams.events import MemberRemoved
from devflow.features.tokens.service import keeping


@on(MemberRemoved)
def end_in_team(fact: MemberRemoved) -> None:
    keeping.end_in_team(SYSTEM, fact.user_id, fact.team_id)


@on(AccountReclaimed)
def end_all(fact: AccountReclaimed) -> None:
    keeping.end_all(SYSTEM, fact.user_id)
