"""Guards sign-in against guessing without letting a guesser lock anybody out.

Tries are counted for each account and address. Across all addresses they are counted too, but that limit holds only
for devices on which nobody has signed in to the account before: a cookie tells those apart (OWASP, "device cookies"),
and a known device has a count of its own. Unknown accounts are treated alike, so no answer tells which ones exist.
"""

from __future__ import annotations

import hmac
import unicodedata
from dataclasses import dataclass

from devflow.core.access import Actor
from devflow.core.addresses import network_of
from devflow.core.crypto import digest
from devflow.core.db import db
from devflow.core.errors import TooMany, Unauthenticated
from devflow.core.ids import new_id
from devflow.features.accounts import rules
from devflow.features.audit import service as audit
from devflow.ports.tries import Tries

QUARTER, HOUR = 900, 3600
PER_PLACE = 10
"""Tries at one account in a quarter of an hour, for an address and for a known device."""
PER_ACCOUNT = 100
"""Tries at one account in an hour from devices it does not know."""
PER_CODE = 10
"""Codes tried for one account in a quarter of an hour; only who knows the password gets here."""
DEVICE_SECONDS = 365 * 86400
_ACCOUNTS_OF_A_DEVICE = 5


@dataclass(frozen=True)
class Guard:
    """What guards a sign-in: where tries are counted, and the device cookie the caller brought (or nothing)."""

    tries: Tries
    device: str = ""

    def knows(self, user_id: str) -> bool:
        """Has this device signed in to the account before?"""
        nonce, *marks = self.device.split(".")
        return any(hmac.compare_digest(mark.encode(), _mark(nonce, user_id).encode()) for mark in marks)

    def remember(self, user_id: str) -> str:
        """The device cookie from now on: it also knows this account."""
        nonce, *marks = self.device.split(".")
        mine = _mark(nonce or (nonce := new_id()), user_id)
        others = [mark for mark in marks if mark != mine]
        return ".".join([nonce, mine, *others[: _ACCOUNTS_OF_A_DEVICE - 1]])


def _mark(nonce: str, user_id: str) -> str:
    return digest(f"device:{nonce}:{user_id}")[:32]


def spelling(typed: str) -> str:
    """What somebody typed as their address or user name, as accounts write it."""
    return unicodedata.normalize("NFKC", typed).strip().lower()


@dataclass(frozen=True)
class Known:
    """The account a password is tried at; without id and hash there is none, which takes as long."""

    typed: str
    user_id: str | None
    password_hash: str | None


def check_password(actor: Actor, guard: Guard, known: Known, password: str, wrong: str) -> str:
    """The id of the account whose password this is. The one way to compare: every try counts, every refusal is in the
    ledger. Raises Unauthenticated with `wrong`, TooMany after too many tries."""
    db.session.rollback()  # comparing is slow on purpose: nobody may wait for it
    admit(actor, guard, known.typed, known.user_id)
    if not rules.password_fits(password, known.password_hash) or known.user_id is None:
        failed(actor, known.typed)
        raise Unauthenticated(wrong, code="AUTHENTICATION_FAILED")
    forgive(actor, guard, known.typed, known.user_id)
    return known.user_id


Counter = tuple[str, int, int]


def _counters(actor: Actor, guard: Guard, typed: str, user_id: str | None) -> list[Counter]:
    account = digest(f"account:{spelling(typed)}")[:32]
    if user_id is not None and guard.knows(user_id):
        return [(f"{account}:device:{guard.device.split('.')[0]}", PER_PLACE, QUARTER)]
    return [(f"{account}:place:{network_of(actor.ip)}", PER_PLACE, QUARTER), (f"{account}:all", PER_ACCOUNT, HOUR)]


def admit(actor: Actor, guard: Guard, typed: str, user_id: str | None) -> None:
    """Count one try at an account. Raises TooMany once there were too many; it is counted before it is looked at, so
    that many at once are many."""
    for name, limit, seconds in _counters(actor, guard, typed, user_id):
        if wait := guard.tries.take(name, limit, seconds):
            failed(actor, typed, 429)
            raise TooMany(f"Too many tries at this account. Wait {_long(wait)}, then try again.", wait)


def forgive(actor: Actor, guard: Guard, typed: str, user_id: str) -> None:
    """The password was right: the tries before it do not count any more."""
    for counter in _counters(actor, guard, typed, user_id):
        guard.tries.forgive(*counter)


def admit_code(actor: Actor, guard: Guard, user_id: str, email: str) -> None:
    """Count one code. Raises TooMany once there were too many."""
    if wait := guard.tries.take(f"code:{user_id}", PER_CODE, QUARTER):
        failed(actor, email, 429)
        raise TooMany(f"Too many codes were tried. Wait {_long(wait)}, then try again.", wait)


def forgive_codes(guard: Guard, user_id: str) -> None:
    """A code was right."""
    guard.tries.forgive(f"code:{user_id}", PER_CODE, QUARTER)


def failed(actor: Actor, typed: str, status: int = 401) -> None:
    """Write a refused sign-in into the ledger, with the address that was tried."""
    audit.refused(actor, "account.sign_in_failed", typed[:254], status)


def _long(seconds: int) -> str:
    minutes = round(seconds / 60)
    return f"{seconds} s" if seconds < 90 else f"{minutes} minutes"
