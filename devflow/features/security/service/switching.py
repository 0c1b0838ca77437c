"""Switch accounts off and on."""

from __future__ import annotations

from devflow.core.access import SYSTEM_ROLES, Actor, Permission
from devflow.core.errors import Conflict, Forbidden
from devflow.core.use_case import use_case
from devflow.features.accounts.service import administering
from devflow.features.accounts.service.people import User
from devflow.features.teams.service import finding as teams


@use_case(Permission.USERS_MANAGE, fresh=True)
def set_active(actor: Actor, user_id: str, is_active: bool) -> User:
    """Switch an account off, which ends its sessions and its tokens at once, or on again."""
    account = administering.user(actor, user_id)
    if account.is_active == is_active:
        return account
    if account.id == actor.id:
        raise Conflict("You cannot switch off the account you are signed in with.")
    _check_holds_as_much(actor, account)
    administering.switch(actor, account, is_active)
    return account


def _check_holds_as_much(actor: Actor, account: User) -> None:
    """Nobody takes, or gives back, what they do not hold on the platform, or not by the token they came with."""
    theirs = teams.actor_of(account).platform - SYSTEM_ROLES["user"]
    missing = sorted(p.value for p in theirs if p not in actor.platform or actor.capped(p))
    if missing and not actor.everything:
        raise Forbidden(
            f"{account.name} may do more than you on this platform: {missing[0]}. "
            "Only somebody who may do all of it can switch this account off or on.",
            permission=missing[0],
        )
