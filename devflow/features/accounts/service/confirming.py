"""Re-authentication: prove once more who you are before something dangerous."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from devflow.core.access import Actor, Permission
from devflow.core.clock import now
from devflow.core.db import db
from devflow.core.errors import Forbidden, NotFound
from devflow.core.use_case import query, use_case
from devflow.features.accounts.models import LoginSession
from devflow.features.accounts.schemas.factors import ConfirmIn
from devflow.features.accounts.service import factors, guarding
from devflow.features.accounts.service.guarding import Guard, Known
from devflow.features.accounts.service.people import find
from devflow.features.audit import service as audit

WRONG = "This is not the password of your account."


@dataclass(frozen=True)
class Ways:
    """How somebody can prove who they are: by password, by code, or at these providers."""

    password: bool
    code: bool
    providers: tuple[str, ...]


@query(Permission.ACCOUNT_READ)
def ways(actor: Actor) -> Ways:
    """How the actor can prove who they are."""
    user = find(actor.id)
    connected = {"github": user.github_id, "google": user.google_id, "oidc": user.oidc_id}
    providers = tuple(name for name, subject in connected.items() if subject)
    return Ways(user.password_hash is not None, factors.wanted(user.id), providers)


@query(Permission.ACCOUNT_MANAGE)
def confirm(actor: Actor, data: ConfirmIn, guard: Guard) -> datetime:
    """Prove it by password or by a code. Raises Unauthenticated when it is wrong, TooMany after too many tries."""
    _has_session(actor)
    if data.password is None:
        factors.check(actor, actor.id, data.code or "", guard)
        return proved(actor)
    check_password(actor, data.password, guard)
    return proved(actor)


def check_password(actor: Actor, password: str, guard: Guard) -> None:
    """Raises Unauthenticated unless this is the actor's password, TooMany after too many tries."""
    user = find(actor.id)
    guarding.check_password(actor, guard, Known(user.email, user.id, user.password_hash), password, WRONG)


@use_case(Permission.ACCOUNT_MANAGE)
def proved(actor: Actor) -> datetime:
    """Remember in the session that its owner has just shown who they are."""
    session = db.session.get(LoginSession, actor.session_id or "")
    if session is None:
        raise NotFound("This session has ended already.")
    session.proved_at = now()
    audit.record(actor, "account.confirmed", find(actor.id))
    return session.proved_at


def _has_session(actor: Actor) -> None:
    if actor.session_id is None:
        raise Forbidden("An API token cannot prove who its owner is. Sign in yourself to do that.")
