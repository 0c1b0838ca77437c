"""People as others may see them: whom something can be assigned to, and one account by id."""

from __future__ import annotations

from devflow.core.access import Actor, Permission
from devflow.core.errors import NotFound
from devflow.core.paging import Page
from devflow.core.use_case import query
from devflow.features.accounts.schemas.people import AssignableQuery, PersonOut, UserOut
from devflow.features.accounts.service import administering, people
from devflow.features.accounts.service.people import User
from devflow.features.security.service import places
from devflow.features.teams.service import rosters


@query(Permission.ACCOUNT_READ)
def assignable(actor: Actor, asked: AssignableQuery) -> Page[User]:
    """Active people the actor knows: colleagues, and staff, whom anybody may ask; administrators know everybody."""
    everybody = actor.everything or actor.may(Permission.USERS_READ)
    return administering.among(None if everybody else rosters.colleagues(actor), asked)


@query(Permission.ACCOUNT_READ)
def show(actor: Actor, user_id: str) -> UserOut | PersonOut:
    """An account: all of it for oneself and administrators, a few fields for those who know the person."""
    user = people.by_ids({user_id}).get(user_id)
    if user is None:
        raise NotFound("There is no such person among those you know.")
    if user.id == actor.id or actor.may(Permission.USERS_READ):
        return UserOut.model_validate(user)
    if places.colleague(actor, user.id) or (user.is_active and user.role in administering.STAFF):
        return PersonOut.model_validate(user)
    raise NotFound("There is no such person among those you know.")
