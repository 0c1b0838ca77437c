"""Sign up, sign in and out; say whose session or access token something is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select, text

from devflow.core.access import Actor, Permission
from devflow.core.clock import now
from devflow.core.crypto import digest
from devflow.core.db import db, transaction
from devflow.core.epoch import rights_changed
from devflow.core.errors import Conflict, Forbidden, NotFound, Unauthenticated
from devflow.core.ids import new_id
from devflow.core.settings import Settings
from devflow.core.use_case import emit, query, use_case
from devflow.features.accounts import rules
from devflow.features.accounts.events import AccountCreated
from devflow.features.accounts.models import LoginSession, Preferences, User
from devflow.features.accounts.schemas import LoginIn, SignUpIn
from devflow.features.accounts.service.people import find, free_username, has_accounts
from devflow.features.audit import service as audit

WRONG = "This e-mail address and password do not belong together."


@dataclass(frozen=True)
class Keys:
    """What tokens are signed with and how hard passwords are hashed."""

    access: rules.Signer
    refresh: rules.Signer
    browser_seconds: int
    cost: int = rules.COST

    @classmethod
    def of(cls, settings: Settings) -> Keys:
        return cls(
            rules.Signer(settings.jwt_secret.get_secret_value(), "access", settings.jwt_expires_in),
            rules.Signer(
                settings.refresh_token_secret.get_secret_value(), "refresh", settings.refresh_token_expires_in
            ),
            settings.session_expires_in,
            4 if settings.environment == "test" else rules.COST,
        )


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
    if sign_up != "open" and has_accounts():
        raise Forbidden("Sign-up is closed here. Ask an administrator for an invitation.")
    hashed = rules.hash_password(data.password, keys.cost)  # slow on purpose, so nobody may wait for it
    return _create(actor, data, hashed, keys, keys.browser_seconds if browser else keys.refresh.seconds)


@use_case(Permission.ACCOUNT_CREATE)
def _create(actor: Actor, data: SignUpIn, password_hash: str, keys: Keys, seconds: int) -> SignedIn:
    first = _nobody_yet()
    if db.session.scalar(select(User.id).where(User.email == data.email)):
        raise Conflict("There is an account with this e-mail address already. Sign in instead.")
    user = User(
        name=data.name,
        email=data.email,
        username=free_username(data.username, data.email),
        password_hash=password_hash,
        role="master_admin" if first else "user",
    )
    db.session.add(user)
    db.session.flush()
    db.session.add(Preferences(user_id=user.id))
    audit.record(_as(actor, user), "account.created", user)
    emit(AccountCreated(user.id, user.name))
    return _open_session(actor, user, keys, seconds)


def _nobody_yet() -> bool:
    """Is this the first account? Two at once take turns, so that only one becomes the administrator."""
    if has_accounts():
        return False
    if db.session.get_bind().dialect.name == "postgresql":  # SQLite's writers take turns anyway
        db.session.execute(text("lock table users in exclusive mode"))
    return not has_accounts()


@query(Permission.SESSIONS_CREATE)
def login(actor: Actor, data: LoginIn, keys: Keys, *, browser: bool = False) -> SignedIn:
    """Sign in by e-mail address (or user name) and password. A browser that is not remembered holds for less long."""
    key = data.email.strip().lower()
    known = select(User.id, User.password_hash).where((User.email == key) | (func.lower(User.username) == key))
    user_id, password_hash = db.session.execute(known).one_or_none() or (None, None)
    db.session.rollback()  # comparing is slow on purpose: nobody may wait for it
    if not rules.password_fits(data.password, password_hash) or user_id is None:
        raise Unauthenticated(WRONG, code="AUTHENTICATION_FAILED")
    brief = browser and not data.remember_me
    return _enter(actor, user_id, keys, keys.browser_seconds if brief else keys.refresh.seconds)


@use_case(Permission.SESSIONS_CREATE)
def _enter(actor: Actor, user_id: str, keys: Keys, seconds: int) -> SignedIn:
    user = find(user_id)
    if not user.is_active:
        raise Forbidden("This account is switched off. Ask an administrator.")
    user.last_login = now()
    audit.record(_as(actor, user), "account.signed_in", user)
    return _open_session(actor, user, keys, seconds)


def _as(actor: Actor, user: User) -> Actor:
    """The anonymous caller, known by the account they have just proved to own."""
    return Actor(user.id, user.name, user.email, ip=actor.ip, agent=actor.agent, request_id=actor.request_id)


def _open_session(actor: Actor, user: User, keys: Keys, seconds: int) -> SignedIn:
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
    return SignedIn(
        user,
        session,
        keys.access.sign(user.id, session.id, token_id),
        keys.refresh.sign(user.id, session.id, token_id),
        keys.access.seconds,
    )


@use_case(Permission.SESSIONS_CREATE)
def refresh(actor: Actor, token: str, keys: Keys) -> SignedIn:
    """A new access token for a live refresh token, which stays valid (conflicts.md C34)."""
    claims = keys.refresh.read(token)
    session = claims and _live_session(claims.session_id)
    user = session and db.session.get(User, session.user_id)
    if claims is None or not session or not user or not user.is_active:
        raise Unauthenticated("This refresh token is not valid any more. Sign in again.")
    access = keys.access.sign(user.id, session.id, claims.token_id)
    return SignedIn(user, session, access, token, keys.access.seconds)


def _live_session(session_id: str) -> LoginSession | None:
    session = db.session.get(LoginSession, session_id)
    return session if session is not None and session.expires_at > now() else None


def by_session(session_id: str) -> tuple[User, LoginSession] | None:
    """Whose session this is; None when it has ended or the account is switched off."""
    both = select(User, LoginSession).join(User, User.id == LoginSession.user_id)
    live = both.where(LoginSession.id == session_id, LoginSession.expires_at > now(), User.is_active)
    found = db.session.execute(live).one_or_none()
    return (found[0], found[1]) if found else None


def by_access_token(token: str, keys: Keys) -> tuple[User, LoginSession] | None:
    """Whose access token this is, and the session it belongs to."""
    claims = keys.access.read(token)
    found = by_session(claims.session_id) if claims else None
    return found if found and claims and found[0].id == claims.user_id else None


@use_case(Permission.ACCOUNT_MANAGE)
def logout(actor: Actor, *, everywhere: bool = False) -> None:
    """End this session, or all of the actor's."""
    mine = delete(LoginSession).where(LoginSession.user_id == actor.id)
    if not everywhere:
        mine = mine.where(LoginSession.id == (actor.session_id or ""))
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


def forget_expired() -> int:
    """Drop sessions that have ended; returns how many."""
    with transaction():
        gone = db.session.execute(delete(LoginSession).where(LoginSession.expires_at < now()))
    return getattr(gone, "rowcount", 0)
