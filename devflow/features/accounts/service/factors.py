"""Two-factor sign-in: an authenticator app (TOTP, RFC 6238) and codes for the day it is lost."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from sqlalchemy import delete, func, select, update

from devflow.core.access import Actor, Permission
from devflow.core.clock import now
from devflow.core.crypto import digest, vault
from devflow.core.db import db
from devflow.core.errors import Conflict, Invalid, Unauthenticated
from devflow.core.use_case import query, use_case
from devflow.features.accounts import rules
from devflow.features.accounts.models import RecoveryCode, SecondFactor
from devflow.features.accounts.service import guarding, telling
from devflow.features.accounts.service.guarding import Guard
from devflow.features.accounts.service.people import find
from devflow.features.audit import service as audit

METHODS = ("totp", "recovery_code")
WRONG = "This code is not right, or it was used already. Wait for the next one and try again."


class CodeNeeded(Unauthenticated):
    """The password was right; the account asks for a code as well."""

    code = "TWO_FACTOR_REQUIRED"

    def __init__(self, user_id: str) -> None:
        super().__init__("This account asks for a code from its authenticator app.", methods=list(METHODS))
        self.user_id = user_id


@dataclass(frozen=True)
class State:
    """Is it on, since when, and how many recovery codes are left?"""

    enabled: bool
    confirmed_at: datetime | None
    recovery_codes_left: int
    methods: tuple[str, ...]


@dataclass(frozen=True)
class Setup:
    """What the authenticator app needs to know, once."""

    secret: str
    uri: str
    qr: str


@query(Permission.ACCOUNT_READ)
def state(actor: Actor) -> State:
    """The actor's second factor."""
    factor = _confirmed(actor.id)
    left = select(func.count(RecoveryCode.id)).where(RecoveryCode.user_id == actor.id, RecoveryCode.used_at.is_(None))
    count = db.session.scalar(left) or 0 if factor else 0
    return State(factor is not None, factor.confirmed_at if factor else None, count, METHODS if factor else ())


def issuer(public_url: str) -> str:
    """What the authenticator app shows beside the address: which DevFlow it is."""
    return f"DevFlow {urlsplit(public_url).netloc}"


def wanted(user_id: str) -> bool:
    """Does this account ask for a code?"""
    return _confirmed(user_id) is not None


def _confirmed(user_id: str) -> SecondFactor | None:
    mine = select(SecondFactor).where(SecondFactor.user_id == user_id, SecondFactor.confirmed_at.is_not(None))
    return db.session.scalar(mine)


@use_case(Permission.ACCOUNT_MANAGE, fresh=True)
def begin(actor: Actor, issuer: str) -> Setup:
    """Make a secret for an authenticator app; it counts once a code of it was given."""
    if _confirmed(actor.id):
        raise Conflict("Two-factor sign-in is on already. Switch it off first to set up another app.")
    user = find(actor.id)
    db.session.execute(delete(SecondFactor).where(SecondFactor.user_id == user.id))
    secret = rules.totp_secret()
    db.session.add(SecondFactor(user_id=user.id, secret=vault().seal(secret)))
    audit.record(actor, "account.two_factor_begun", user, {"secret": audit.CHANGED})
    uri = rules.totp_uri(secret, user.email, issuer)
    return Setup(secret, uri, rules.qr_code(uri))


@query(Permission.ACCOUNT_MANAGE)
def pending(actor: Actor, issuer: str) -> Setup | None:
    """The set-up that waits for its first code, to show it again after a wrong one."""
    row = db.session.scalar(select(SecondFactor).where(SecondFactor.user_id == actor.id))
    if row is None or row.confirmed_at is not None or not actor.fresh or actor.token_id is not None:
        return None
    secret = vault().open(row.secret)
    uri = rules.totp_uri(secret, find(actor.id).email, issuer)
    return Setup(secret, uri, rules.qr_code(uri))


@use_case(Permission.ACCOUNT_MANAGE, fresh=True)
def confirm(actor: Actor, code: str, guard: Guard) -> list[str]:
    """Switch it on with a first code of the app; returns the recovery codes, which are never shown again."""
    user = find(actor.id)
    row = db.session.scalar(select(SecondFactor).where(SecondFactor.user_id == user.id))
    if row is None or row.confirmed_at is not None:
        raise Conflict("There is nothing to confirm. Set up an authenticator app first.")
    guarding.admit_code(actor, guard, user.id, user.email)
    if not _fits(row, code):
        raise Invalid(WRONG, {"code": [WRONG]})
    guarding.forgive_codes(guard, user.id)
    row.confirmed_at = now()
    audit.record(actor, "account.two_factor_on", user)
    telling.changed(actor, user, "Two-factor sign-in was switched on")
    return _new_codes(user.id)


@use_case(Permission.ACCOUNT_MANAGE, fresh=True)
def renew_codes(actor: Actor) -> list[str]:
    """New recovery codes; the earlier ones are worth nothing any more."""
    if _confirmed(actor.id) is None:
        raise Conflict("Two-factor sign-in is off, so there is nothing to recover.")
    user = find(actor.id)
    audit.record(actor, "account.recovery_codes_renewed", user, {"codes": audit.CHANGED})
    telling.changed(actor, user, "New recovery codes were made")
    return _new_codes(actor.id)


@use_case(Permission.ACCOUNT_MANAGE, fresh=True)
def switch_off(actor: Actor, code: str, guard: Guard) -> None:
    """Switch it off with a code, so that an open browser alone is not enough."""
    if _confirmed(actor.id) is None:
        raise Conflict("Two-factor sign-in is off already.")
    guarding.admit_code(actor, guard, actor.id, actor.email)
    if not _spend(actor.id, code):
        raise Invalid(WRONG, {"code": [WRONG]})
    guarding.forgive_codes(guard, actor.id)
    remove(actor, actor.id)


def remove(actor: Actor, user_id: str) -> None:
    """Take the second factor off an account, in the running transaction."""
    db.session.execute(delete(SecondFactor).where(SecondFactor.user_id == user_id))
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    user = find(user_id)
    audit.record(actor, "account.two_factor_off", user)
    telling.changed(actor, user, "Two-factor sign-in was switched off")


def check(actor: Actor, user_id: str, code: str, guard: Guard) -> None:
    """Use up a code of this account. Raises Unauthenticated when it does not fit, TooMany after too many."""
    email = find(user_id).email
    db.session.rollback()
    guarding.admit_code(actor, guard, user_id, email)
    if not _use_up(actor, user_id, code):
        guarding.failed(actor, email)
        raise Unauthenticated(WRONG, code="AUTHENTICATION_FAILED")
    guarding.forgive_codes(guard, user_id)


@use_case(Permission.SESSIONS_CREATE)
def _use_up(actor: Actor, user_id: str, code: str) -> bool:
    return _spend(user_id, code)


def _spend(user_id: str, code: str) -> bool:
    """Try a code as one of the app, else as a recovery code. Each works once, also when it comes twice at once."""
    row = _confirmed(user_id)
    if row is None:
        return False
    return _fits(row, code) or _recovers(user_id, code)


def _fits(row: SecondFactor, code: str) -> bool:
    step = rules.totp_step(vault().open(row.secret), code)
    if step is None:
        return False
    # A step from the future was counted by a clock that has been put back since; it may not lock anybody out.
    free = (SecondFactor.last_step < step) | (SecondFactor.last_step > rules.totp_now() + 1)
    taken = db.session.execute(update(SecondFactor).where(SecondFactor.id == row.id, free).values(last_step=step))
    return bool(getattr(taken, "rowcount", 0))


def _recovers(user_id: str, code: str) -> bool:
    mine = (RecoveryCode.user_id == user_id) & (RecoveryCode.digest == _digest(user_id, code))
    used = update(RecoveryCode).where(mine, RecoveryCode.used_at.is_(None)).values(used_at=now())
    return bool(getattr(db.session.execute(used), "rowcount", 0))


def _new_codes(user_id: str) -> list[str]:
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    codes = [rules.recovery_code(secrets.token_bytes(10)) for _ in range(10)]
    db.session.add_all(RecoveryCode(user_id=user_id, digest=_digest(user_id, code)) for code in codes)
    return codes


def _digest(user_id: str, code: str) -> str:
    return digest(f"recovery:{user_id}:{rules.bare_code(code)}")
