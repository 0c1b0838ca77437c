"""The one door into the domain: permission, scope, transaction, then facts."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, Generic, TypeVar, cast

from devflow.core import events
from devflow.core.access import TEAM_RIGHTS, Actor, Permission, scope_for
from devflow.core.db import db, transaction
from devflow.core.errors import Forbidden, Stale

Result = TypeVar("Result", covariant=True)
_facts: ContextVar[list[events.OutboxRow] | None] = ContextVar("facts", default=None)


class UseCase(Generic[Result]):
    """A function of the domain together with the permission it asks for; doors, templates and OpenAPI read it.

    Where it works on a thing, callers pass the thing or its id.
    """

    permission: Permission
    __name__: str

    def __call__(self, actor: Actor, *args: Any, **kwargs: Any) -> Result:
        raise TypeError("a use case is made by its decorator")


def emit(happened: Any) -> None:
    """Announce a fact: stored with this transaction, heard after its commit."""
    waiting = _facts.get()
    if waiting is None:
        raise RuntimeError("emit() belongs inside a use case")
    waiting.append(events.write(happened))


def refusal(actor: Actor, permission: Permission, thing: Any = None) -> Forbidden:
    """Why this actor may not do this: their token's scope, or their roles. Doors that look first raise it too."""
    if actor.capped(permission) and actor.holds(permission, thing):
        scope = scope_for(permission)
        text = f"This token lacks the scope {scope}. Make one that has it, or add the scope to this one."
        if actor.only_teams is not None or actor.only_projects is not None:
            text = f"This token lacks the scope {scope}, or this goes beyond the team or projects it is limited to."
        return Forbidden(text, code="AUTHORIZATION_FAILED", permission=permission.value, scope=scope)
    in_team = permission in TEAM_RIGHTS
    giver = "An owner or administrator of the team" if in_team else "An administrator of this instance"
    text = f"You need the permission {permission.value} for this. {giver} can give it."
    return Forbidden(text, permission=permission.value)


def use_case(
    permission: Permission, on: Callable[[Actor, str], Any] | None = None, *, fresh: bool = False
) -> Callable[[Callable[..., Result]], UseCase[Result]]:
    """A use case that writes: loads its scope with `on`, checks the permission, commits once, hands facts on.

    The scope may be given as an id (then `on` finds it, or raises NotFound) or as the thing itself.
    `fresh` asks that the person has proved who they are a short while ago; an API token counts as such, but for what
    concerns the account itself: a leaked one could otherwise lock its owner out or take the account over.
    Inside another use case it joins that one's transaction.
    """
    return _decorate(permission, on, writes=True, fresh=fresh)


def query(
    permission: Permission, on: Callable[[Actor, str], Any] | None = None
) -> Callable[[Callable[..., Result]], UseCase[Result]]:
    """A use case that only reads: the same checks, no write transaction."""
    return _decorate(permission, on, writes=False, fresh=False)


def _decorate(
    permission: Permission, find: Callable[[Actor, str], Any] | None, *, writes: bool, fresh: bool
) -> Callable[[Callable[..., Result]], UseCase[Result]]:
    def decorate(function: Callable[..., Result]) -> UseCase[Result]:
        def checked(actor: Actor, *args: Any, **kwargs: Any) -> Result:
            scope = None
            if find is not None:
                scope = find(actor, args[0]) if isinstance(args[0], str) else args[0]
                args = (scope, *args[1:])
            if not actor.may(permission, scope):
                raise refusal(actor, permission, scope)
            if fresh and actor.token_id and permission is Permission.ACCOUNT_MANAGE:
                text = "An API token cannot change how you sign in. Sign in yourself for this."
                raise Forbidden(text, code="AUTHORIZATION_FAILED", permission=permission.value)
            if fresh and not actor.fresh and not actor.everything:
                raise Stale("Confirm that it is you first: it has been a while since you signed in.")
            return function(actor, *args, **kwargs)

        @wraps(function)
        def run(actor: Actor, *args: Any, **kwargs: Any) -> Result:
            if not writes or _facts.get() is not None:
                return checked(actor, *args, **kwargs)
            return _in_transaction(lambda: checked(actor, *args, **kwargs))

        case = cast("UseCase[Result]", run)
        case.permission = permission
        return case

    return decorate


def _in_transaction(work: Callable[[], Result]) -> Result:
    waiting: list[events.OutboxRow] = []
    token = _facts.set(waiting)
    try:
        with transaction():
            result = work()
    finally:
        _facts.reset(token)
    if waiting:
        events.deliver(waiting)
    return result


def forget_session() -> None:
    """Return the database connection of this thread, before slow work that needs none."""
    db.session.remove()
