"""Change a password, or choose a new one when it is forgotten."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import ColumnElement, delete, select

from devflow.core.access import Actor, Permission, anonymous
from devflow.core.clock import now
from devflow.core.db import db
from devflow.core.epoch import rights_changed
from devflow.core.errors import Conflict, Forbidden, Invalid
from devflow.core.ids import new_id
from devflow.core.use_case import emit, forget_session, query, use_case
from devflow.features.accounts import rules
from devflow.features.accounts.events import AccountReclaimed, PasswordForgotten
from devflow.features.accounts.models import PERSON, LoginSession, User
from devflow.features.accounts.service import confirming, linking, mailed
from devflow.features.accounts.service.guarding import Guard
from devflow.features.accounts.service.people import find
from devflow.features.audit import service as audit
from devflow.features.mail import service as mail

MOST_LINKS = 3
"""Links to a new password one account may have at a time: enough for a person, too few to flood a mailbox."""


@use_case(Permission.ACCOUNT_RECOVER)
def forgot(actor: Actor, email: str) -> None:
    """Ask for a link to a new password. Who asks learns nothing: the worker looks whether the account exists."""
    emit(PasswordForgotten(email, actor.ip, actor.agent, actor.request_id, new_id()))


@use_case(Permission.ACCOUNT_RECOVER)
def send_link(actor: Actor, email: str) -> bool:
    """Mail the link, if there is such an account that may act; says whether it did."""
    user = db.session.scalar(select(User).where(User.email == email, User.is_active, User.kind == PERSON))
    if user is None or mailed.count_live(user.id, mailed.RESET) >= MOST_LINKS:
        return False
    value, row = mailed.make(user, mailed.RESET)
    mail.send(
        user.email, "reset_password", "Choose a new password", path=f"/reset-password?token={value}",
        until=row.expires_at, reader=mailed.reader_of(user), name=user.name,
    )  # fmt: skip
    audit.record(_owner(actor, user), "account.reset_requested", user)
    return True


@query(Permission.ACCOUNT_RECOVER)
def reset(actor: Actor, token: str, password: str, cost: int) -> User:
    """Set a new password by a mailed link, which is used up, and end every session."""
    if not mailed.live(token, mailed.RESET):
        raise Invalid(mailed.DEAD, {"token": [mailed.DEAD]})
    forget_session()
    return _reset(actor, token, rules.hash_password(password, cost))  # slow on purpose, so nobody may wait for it


@use_case(Permission.ACCOUNT_RECOVER)
def _reset(actor: Actor, token: str, password_hash: str) -> User:
    user = mailed.use(token, mailed.RESET)
    owner = _owner(actor, user)
    if not user.email_verified:  # the link came by mail, so the address is theirs
        user.email_verified = True
        mailed.drop(user.id, mailed.VERIFY)
        linking.forget_all(owner, user)  # whoever made the account may have been a stranger who keeps a way in
        emit(AccountReclaimed(user.id))
    _set(owner, user, password_hash, LoginSession.user_id == user.id)
    return user


@query(Permission.ACCOUNT_MANAGE)
def change(actor: Actor, current: str, new: str, cost: int, guard: Guard) -> None:
    """Replace the password by one who knows it, and end the other sessions.

    Raises Unauthenticated when `current` is wrong, TooMany after too many tries.
    """
    if actor.token_id is not None:
        raise Forbidden("An API token cannot change how its owner signs in. Sign in yourself to do that.")
    known = find(actor.id).password_hash
    if known is None:
        raise Conflict("This account has no password yet. Ask for a link to choose one.", code="INVALID_STATE")
    confirming.check_password(actor, current, guard)
    _change(actor, known, rules.hash_password(new, cost))


@use_case(Permission.ACCOUNT_MANAGE)
def _change(actor: Actor, known: str, password_hash: str) -> None:
    user = find(actor.id)
    if user.password_hash != known:
        raise Conflict("The password was changed a moment ago, elsewhere.")
    here = actor.session_id or ""
    _set(actor, user, password_hash, (LoginSession.user_id == user.id) & (LoginSession.id != here))
    session = db.session.get(LoginSession, here) if here else None
    if session is not None:
        session.proved_at = now()


def _set(owner: Actor, user: User, password_hash: str, ended: ColumnElement[bool]) -> None:
    user.password_hash = password_hash
    mailed.drop(user.id, mailed.RESET)
    db.session.execute(delete(LoginSession).where(ended))
    rights_changed()
    audit.record(owner, "account.password_changed", user, {"password": audit.CHANGED})
    mail.send(
        user.email, "password_changed", "Your password was changed", path="/forgot-password", name=user.name,
        when=f"{now():%Y-%m-%d %H:%M} UTC", ip=owner.ip or "unknown",
    )  # fmt: skip


def _owner(actor: Actor, user: User) -> Actor:
    """The caller, known by the account whose link they were sent."""
    return replace(actor, id=user.id, name=user.name, email=user.email)


def asked_by(fact: PasswordForgotten) -> Actor:
    """Who asked for a link, as far as known."""
    return anonymous(fact.ip, fact.agent, fact.request_id)
