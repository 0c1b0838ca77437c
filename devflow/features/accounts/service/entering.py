"""Sign up, sign in and out; say whose session or access token something is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import bindparam, delete, func, select, text, update
from sqlalchemy.exc import IntegrityError

from devflow.core.access import Actor, Permission
from devflow.core.addresses import is_service
from devflow.core.clock import now
from devflow.core.crypto import digest
from devflow.core.db import db, transaction
from devflow.core.epoch import rights_changed
from devflow.core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from devflow.core.ids import new_id
from devflow.core.settings import Settings
from devflow.core.use_case import emit, query, use_case
from devflow.features.accounts import rules
from devflow.features.accounts.events import AccountCreated
from devflow.features.accounts.models import PERSON, LoginSession, Preferences, User
from devflow.features.accounts.schemas.entering import LoginIn, SignUpIn
from devflow.features.accounts.service import factors, guarding, verifying
from devflow.features.accounts.service.guarding import Guard, Known
from devflow.features.accounts.service.people import by_email, find, free_username, has_accounts
from devflow.features.audit import service as audit

WRONG = "This e-mail address and password do not belong together."
OFF = "This account is switched off. Ask an administrator."
NOBODYS = "Nobody owns such an address: it stands for a service account. Use your own."


class Invitations:
    """Those who can say that an address was invited. A feature above registers its checker: (email, token) -> bool."""

    def __init__(self) -> None:
        self._checkers: list[Callable[[str, str], bool]] = []

    def register(self, checker: Callable[[str, str], bool]) -> None:
        if checker not in self._checkers:
            self._checkers.append(checker)

    def __call__(self, email: str, token: str | None) -> bool:
        """May somebody with this address and invitation join although sign-up is not open?"""
        return bool(token) and any(checker(email, token or "") for checker in self._checkers)


may_join = Invitations()
TRIES = 5
"""How often a free user name is looked for while others take theirs."""


@dataclass(frozen=True)
class Wish:
    """What somebody who wants an account brings: the rule of this place (SIGN_UP), an invitation, and the user name
    they want, or else what one is made from."""

    sign_up: str
    invite_token: str | None = None
    username: str | None = None
    hint: str = ""


@dataclass(frozen=True)
class Keys:
    """What tokens are signed with and how hard passwords are hashed."""

    access: rules.Signer
    refresh: rules.Signer
    browser_seconds: int
    remembered_seconds: int
    cost: int = rules.COST
    rotates: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Keys:
        return cls(
            rules.Signer(settings.jwt_secret.get_secret_value(), "access", settings.jwt_expires_in),
            rules.Signer(
                settings.refresh_token_secret.get_secret_value(), "refresh", settings.refresh_token_expires_in
            ),
            settings.session_expires_in,
            settings.remembered_seconds,
            4 if settings.environment == "test" else rules.COST,
            settings.refresh_token_rotation == "on",
        )

    def seconds(self, *, browser: bool, remember: bool) -> int:
        """How long a sign-in holds: longest where it shall be remembered, shortest in a browser that shall not."""
        if remember:
            return self.remembered_seconds
        return self.browser_seconds if browser else self.refresh.seconds


@dataclass(frozen=True)
class SignedIn:
    """A fresh session: its row, its tokens, and whose it is."""

    user: User
    session: LoginSession
    access_token: str
    refresh_token: str
    expires_in: int


@query(Permission.ACCOUNT_CREATE)
def register(actor: Actor, data: SignUpIn, keys: Keys, sign_up: str, *, browser: bool = False) -> SignedIn:
    """Create an account and sign it in. The first one becomes master_admin."""
    admitted(sign_up, data.email, data.invite_token)
    hashed = rules.hash_password(data.password, keys.cost)  # slow on purpose, so nobody may wait for it
    wish = Wish(sign_up, data.invite_token, data.username, data.email)
    return _create(actor, data, wish, hashed, keys, keys.browser_seconds if browser else keys.refresh.seconds)


def admitted(sign_up: str, email: str, invite_token: str | None) -> None:
    """Raises Forbidden unless this address may have an account: sign-up is open, it is the first, or it is invited."""
    if sign_up != "open" and has_accounts() and not may_join(email, invite_token):
        raise Forbidden("Sign-up is closed here. Ask an administrator for an invitation.")


@use_case(Permission.ACCOUNT_CREATE)
def _create(actor: Actor, data: SignUpIn, wish: Wish, password_hash: str, keys: Keys, seconds: int) -> SignedIn:
    user = new_account(actor, data.email, wish, name=data.name, password_hash=password_hash)
    user.last_login = now()
    return open_session(actor, user, keys, seconds)


def new_account(actor: Actor, email: str, wish: Wish, **fields: object) -> User:
    """Add an account, in the running transaction. Raises as `admitted` does, and Conflict when it is there already."""
    if is_service(email):
        raise Invalid(NOBODYS, {"email": [NOBODYS]})
    first = _nobody_yet()
    admitted(wish.sign_up, email, wish.invite_token)  # again: somebody may have been the first meanwhile
    user = _added(email, wish, role="master_admin" if first else "user", **fields)
    db.session.add(Preferences(user_id=user.id))
    audit.record(known(actor, user), "account.created", user)
    if not user.email_verified:
        verifying.send_link(user)
    emit(AccountCreated(user.id, user.name))
    return user


def _added(email: str, wish: Wish, **fields: object) -> User:
    """Another may take the address or the name between the look and the writing: then it is looked at again."""
    for _ in range(TRIES):
        if by_email(email):
            raise Conflict("There is an account with this e-mail address already. Sign in instead.")
        user = User(email=email, username=free_username(wish.username, wish.hint or email), **fields)
        with suppress(IntegrityError):
            with db.session.begin_nested():
                db.session.add(user)
            return user
    raise Conflict("Many people of this name sign up right now. Try again in a moment.")


def _nobody_yet() -> bool:
    """Is this the first account? Two at once take turns, so that only one becomes the administrator."""
    if has_accounts():
        return False
    if db.session.get_bind().dialect.name == "postgresql":  # SQLite's writers take turns anyway
        db.session.execute(text("lock table users in exclusive mode"))
    return not has_accounts()


@query(Permission.SESSIONS_CREATE)
def login(actor: Actor, data: LoginIn, keys: Keys, guard: Guard, *, browser: bool = False) -> SignedIn:
    """Sign in by e-mail address (or user name), password and, where it is on, a second factor.

    Raises CodeNeeded when only the code is missing. A browser that is not remembered holds for less long.
    """
    user = prove(actor, data.email, data.password, data.code, guard)
    return enter(actor, user.id, keys, keys.seconds(browser=browser, remember=data.remember_me))


@query(Permission.SESSIONS_CREATE)
def login_with_code(actor: Actor, user_id: str, code: str, keys: Keys, guard: Guard, seconds: int) -> SignedIn:
    """The second half of a sign-in whose first half was right a moment ago."""
    factors.check(actor, user_id, code, guard)
    return enter(actor, user_id, keys, seconds)


@query(Permission.SESSIONS_CREATE)
def prove(actor: Actor, email: str, password: str, code: str | None, guard: Guard) -> User:
    """Whose e-mail address (or user name), password and second factor these are; a code is used up by it.

    Raises Unauthenticated (CodeNeeded when only the code is missing), Forbidden when the account is switched off,
    TooMany after too many tries. Every refusal is in the ledger.
    """
    user = _by_password(actor, email, password, guard)
    if factors.wanted(user.id):
        if not code:
            raise factors.CodeNeeded(user.id)
        factors.check(actor, user.id, code, guard)
    return find(user.id)


def _by_password(actor: Actor, typed: str, password: str, guard: Guard) -> User:
    key = guarding.spelling(typed)
    named = (User.email == key) | (func.lower(User.username) == key)
    known_by = select(User.id, User.password_hash).where(named, User.kind == PERSON)
    account = Known(typed, *(db.session.execute(known_by).first() or (None, None)))
    user = find(guarding.check_password(actor, guard, account, password, WRONG))
    if not user.is_active:
        guarding.failed(actor, typed, 403)
        raise Forbidden(OFF)
    return user


@use_case(Permission.SESSIONS_CREATE)
def enter(actor: Actor, user_id: str, keys: Keys, seconds: int) -> SignedIn:
    """Open a session of an account whose owner has just proved to be here."""
    user = find(user_id)
    if not user.is_active or user.is_service:
        raise Forbidden(OFF)
    user.last_login = now()
    audit.record(known(actor, user), "account.signed_in", user)
    return open_session(actor, user, keys, seconds)


def known(actor: Actor, user: User) -> Actor:
    """The anonymous caller, known by the account they have just proved to own."""
    return Actor(user.id, user.name, user.email, ip=actor.ip, agent=actor.agent, request_id=actor.request_id)


def open_session(actor: Actor, user: User, keys: Keys, seconds: int) -> SignedIn:
    """A session and its tokens, in the running transaction."""
    token_id = new_id()
    session = LoginSession(
        user_id=user.id,
        token=digest(token_id),
        expires_at=now() + timedelta(seconds=seconds),
        ip=actor.ip,
        agent=actor.agent,
    )
    db.session.add(session)
    db.session.flush()
    return _signed(user, session, token_id, keys, keys.refresh.sign(user.id, session.id, token_id, seconds))


def _signed(user: User, session: LoginSession, token_id: str, keys: Keys, refresh_token: str) -> SignedIn:
    access = keys.access.sign(user.id, session.id, token_id, email=user.email, name=user.name, role=user.role)
    return SignedIn(user, session, access, refresh_token, keys.access.seconds)


@query(Permission.SESSIONS_CREATE)
def refresh(actor: Actor, token: str, keys: Keys) -> SignedIn:
    """A new access token for a live refresh token.

    The token stays valid (conflicts.md C34) unless rotation is on: then each use gives a new one, and a second use
    of an old one, even a moment later, ends the session with everything that hangs on it.
    """
    claims = keys.refresh.read(token)
    signed_in = _refreshed(actor, token, claims, keys) if claims else None
    if signed_in is None:
        if claims and keys.rotates:
            _end_family(actor, claims.session_id)
        raise Unauthenticated("This refresh token is not valid any more. Sign in again.")
    return signed_in


@use_case(Permission.SESSIONS_CREATE)
def _refreshed(actor: Actor, token: str, claims: rules.Claims, keys: Keys) -> SignedIn | None:
    session = _live_session(claims.session_id)
    user = db.session.get(User, claims.user_id)
    if session is None or user is None or not user.is_active or user.id != session.user_id:
        return None
    if not keys.rotates:
        return _signed(user, session, claims.token_id, keys, token)
    token_id = new_id()
    current = (LoginSession.id == session.id) & (LoginSession.token == digest(claims.token_id))
    turned = db.session.execute(update(LoginSession).where(current).values(token=digest(token_id)))
    if not getattr(turned, "rowcount", 0):
        return None
    left = int((session.expires_at - now()).total_seconds())
    return _signed(user, session, token_id, keys, keys.refresh.sign(user.id, session.id, token_id, left))


@use_case(Permission.SESSIONS_CREATE)
def _end_family(actor: Actor, session_id: str) -> None:
    """Somebody used a refresh token that was replaced: thief or owner, nobody can tell, so the session ends."""
    session = db.session.get(LoginSession, session_id)
    if session is None:
        return
    user = find(session.user_id)
    db.session.delete(session)
    rights_changed()
    audit.record(known(actor, user), "account.refresh_token_reused", user)


def _live_session(session_id: str) -> LoginSession | None:
    session = db.session.get(LoginSession, session_id)
    return session if session is not None and session.expires_at > now() else None


# Made once: to build a statement takes longer than to run it, and this one runs with every request.
_LIVE = (
    select(User, LoginSession)
    .join(User, User.id == LoginSession.user_id)
    .where(
        LoginSession.id == bindparam("session"),
        LoginSession.expires_at > bindparam("now"),
        User.is_active,
        User.kind == PERSON,
    )
)


def by_session(session_id: str) -> tuple[User, LoginSession] | None:
    """Whose session this is; None when it has ended or the account is switched off."""
    found = db.session.execute(_LIVE, {"session": session_id, "now": now()}).one_or_none()
    return (found[0], found[1]) if found else None


def by_access_token(token: str, keys: Keys) -> tuple[User, LoginSession] | None:
    """Whose access token this is, and the session it belongs to."""
    claims = keys.access.read(token)
    found = by_session(claims.session_id) if claims else None
    return found if found and claims and found[0].id == claims.user_id else None


@use_case(Permission.ACCOUNT_MANAGE)
def logout(actor: Actor, refresh_session: str | None = None, *, everywhere: bool = False) -> None:
    """End this session and the one of a refresh token that was given, or all of the actor's."""
    if actor.token_id is not None:
        raise Conflict("An API token is not signed in. Revoke it with DELETE /api/v1/auth/token.", code="INVALID_STATE")
    mine = delete(LoginSession).where(LoginSession.user_id == actor.id)
    if not everywhere:
        mine = mine.where(LoginSession.id.in_([actor.session_id or "", refresh_session or ""]))
    db.session.execute(mine)
    rights_changed()
    audit.record(actor, "account.signed_out", find(actor.id))


@query(Permission.ACCOUNT_READ)
def current_session(actor: Actor) -> LoginSession | None:
    return db.session.get(LoginSession, actor.session_id) if actor.session_id else None


@query(Permission.ACCOUNT_READ)
def sessions(actor: Actor) -> list[LoginSession]:
    """The actor's live sessions, newest first."""
    mine = select(LoginSession).where(LoginSession.user_id == actor.id, LoginSession.expires_at > now())
    return list(db.session.scalars(mine.order_by(LoginSession.id.desc())))


@use_case(Permission.ACCOUNT_MANAGE)
def end_session(actor: Actor, session_id: str) -> None:
    """End one of the actor's own sessions."""
    gone = db.session.execute(
        delete(LoginSession).where(LoginSession.id == session_id, LoginSession.user_id == actor.id)
    )
    if not getattr(gone, "rowcount", 0):
        raise NotFound("This session has ended already.")
    rights_changed()
    audit.record(actor, "account.session_ended", find(actor.id))


@use_case(Permission.ACCOUNT_MANAGE)
def end_other_sessions(actor: Actor) -> int:
    """End all of the actor's sessions but this one; returns how many."""
    others = (LoginSession.user_id == actor.id, LoginSession.id != (actor.session_id or ""))
    gone = getattr(db.session.execute(delete(LoginSession).where(*others)), "rowcount", 0)
    if gone:
        rights_changed()
        audit.record(actor, "account.session_ended", find(actor.id), {"sessions": [gone, 0]})
    return gone


def forget_expired() -> int:
    """Drop sessions that have ended; returns how many."""
    with transaction():
        gone = db.session.execute(delete(LoginSession).where(LoginSession.expires_at < now()))
    return getattr(gone, "rowcount", 0)
