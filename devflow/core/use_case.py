"""The one door into the domain: permission, scope, transaction, then facts."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, Generic, TypeVar, cast

from devflow.core import events
from devflow.core.access import Actor, Permission
from devflow.core.db import db, transaction
from devflow.core.errors import Forbidden

Result = TypeVar("Result", covariant=True)
_facts: ContextVar[list[events.OutboxRow] | None] = ContextVar("facts", default=None)
_denied: list[Callable[[Actor, Permission, Any], None]] = []


class UseCase(Generic[Result]):
    """A function of the domain together with the permission it asks for; doors, templates and OpenAPI read it.

    Where it works on a thing, callers pass the thing or its id.
    """

    permission: Permission
    writes: bool
    __name__: str

    def __call__(self, actor: Actor, *args: Any, **kwargs: Any) -> Result:
        raise TypeError("a use case is made by its decorator")


def emit(happened: Any) -> None:
    """Announce a fact: stored with this transaction, heard after its commit."""
    waiting = _facts.get()
    if waiting is None:
        raise RuntimeError("emit() belongs inside a use case")
    waiting.append(events.write(happened))


def on_denied(listener: Callable[[Actor, Permission, Any], None]) -> None:
    """Let the audit hear of refused attempts."""
    if listener not in _denied:
        _denied.append(listener)


def use_case(
    permission: Permission, on: Callable[[Actor, str], Any] | None = None
) -> Callable[[Callable[..., Result]], UseCase[Result]]:
    """A use case that writes: loads its scope with `on`, checks the permission, commits once, hands facts on.

    The scope may be given as an id (then `on` finds it, or raises NotFound) or as the thing itself.
    Inside another use case it joins that one's transaction.
    """
    return _decorate(permission, on, writes=True)


def query(
    permission: Permission, on: Callable[[Actor, str], Any] | None = None
) -> Callable[[Callable[..., Result]], UseCase[Result]]:
    """A use case that only reads: the same checks, no write transaction."""
    return _decorate(permission, on, writes=False)


def _decorate(
    permission: Permission, find: Callable[[Actor, str], Any] | None, *, writes: bool
) -> Callable[[Callable[..., Result]], UseCase[Result]]:
    def decorate(function: Callable[..., Result]) -> UseCase[Result]:
        def checked(actor: Actor, *args: Any, **kwargs: Any) -> Result:
            scope = None
            if find is not None:
                scope = find(actor, args[0]) if isinstance(args[0], str) else args[0]
                args = (scope, *args[1:])
            if not actor.may(permission, scope):
                for listener in _denied:
                    listener(actor, permission, scope)
                raise Forbidden(f"You need the permission {permission.value} for this.", permission=permission.value)
            return function(actor, *args, **kwargs)

        @wraps(function)
        def run(actor: Actor, *args: Any, **kwargs: Any) -> Result:
            if not writes or _facts.get() is not None:
                return checked(actor, *args, **kwargs)
            return _in_transaction(lambda: checked(actor, *args, **kwargs))

        case = cast("UseCase[Result]", run)
        case.permission = permission
        case.writes = writes
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
