"""Create accounts, sign in and out, say who a token belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select, text

from devflow.core.access import Actor, Permission
from devflow.core.clock import now
from devflow.core.crypto import digest
from devflow.core.db import db, transaction
from devflow.core.errors import Conflict, Forbidden, NotFound, Unauthenticated
from devflow.core.ids import new_id
from devflow.core.settings import Settings
from devflow.core.use_case import emit, query, use_case
from devflow.features.accounts import rules
from devflow.features.accounts.events import AccountCreated
from devflow.features.accounts.models import LoginSession, Preferences, User
from devflow.features.accounts.schemas import LoginIn, PreferencesPatch, ProfilePatch, SignUpIn
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


def has_accounts() -> bool:
    """Is there anybody yet? The first account becomes the administrator."""
    return db.session.scalar(select(User.id).limit(1)) is not None


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
        username=_free_username(data.username, data.email),
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


@use_case(Permission.PLATFORM_MANAGE)
def promote(actor: Actor, user_id: str) -> User:
    """Make an account an administrator of the whole platform."""
    user = find(user_id)
    before, user.role = user.role, "master_admin"
    audit.record(actor, "account.promoted", user, {"role": [before, user.role]})
    return user


def _free_username(wanted: str | None, email: str) -> str:
    if wanted:
        if _username_taken(wanted):
            raise Conflict(f"The user name {wanted} is taken.")
        return wanted
    first = rules.username_from(email)
    name, number = first, 1
    while _username_taken(name):
        number += 1
        name = f"{first}-{number}"
    return name


def _username_taken(name: str) -> bool:
    return db.session.scalar(select(User.id).where(func.lower(User.username) == name.lower())) is not None


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


def by_session(session_id: str) -> User | None:
    """Whose browser session this is; None when it has ended."""
    session = _live_session(session_id)
    user = db.session.get(User, session.user_id) if session else None
    return user if user is not None and user.is_active else None


def by_access_token(token: str, keys: Keys) -> tuple[User, str] | None:
    """Whose access token this is, and the session it belongs to."""
    claims = keys.access.read(token)
    user = by_session(claims.session_id) if claims else None
    return (user, claims.session_id) if user is not None and claims is not None and user.id == claims.user_id else None


@use_case(Permission.ACCOUNT_MANAGE)
def logout(actor: Actor, *, everywhere: bool = False) -> None:
    """End this session, or all of the actor's."""
    mine = delete(LoginSession).where(LoginSession.user_id == actor.id)
    if not everywhere:
        mine = mine.where(LoginSession.id == (actor.session_id or ""))
    db.session.execute(mine)
    audit.record(actor, "account.signed_out", me(actor))


@query(Permission.ACCOUNT_MANAGE)
def me(actor: Actor) -> User:
    """The actor's own account."""
    user = db.session.get(User, actor.id)
    if user is None:
        raise NotFound("This account is gone.")
    return user


@query(Permission.ACCOUNT_MANAGE)
def current_session(actor: Actor) -> LoginSession | None:
    return db.session.get(LoginSession, actor.session_id) if actor.session_id else None


@query(Permission.ACCOUNT_MANAGE)
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
    user = me(actor)
    audit.record(actor, "account.session_ended", user)


@use_case(Permission.ACCOUNT_MANAGE)
def update(actor: Actor, data: ProfilePatch) -> User:
    """Change the fields of the profile that were sent."""
    user = me(actor)
    after = data.model_dump(exclude_unset=True, exclude_none=True)
    if full_name := after.pop("full_name", None):
        after.setdefault("name", full_name)
    name = after.get("username")
    if name and name.lower() != user.username.lower() and _username_taken(name):
        raise Conflict(f"The user name {name} is taken.")
    changes = audit.difference({key: getattr(user, key) for key in after}, after)
    for key, value in after.items():
        setattr(user, key, value)
    if changes:
        audit.record(actor, "account.updated", user, changes)
    return user


@query(Permission.ACCOUNT_MANAGE)
def preferences(actor: Actor) -> Preferences:
    found = db.session.scalar(select(Preferences).where(Preferences.user_id == actor.id))
    return found or Preferences(
        user_id=actor.id, theme="system", email_notifications=True,
        deployment_success_notifications=True, deployment_failure_notifications=True,
    )  # fmt: skip


@use_case(Permission.ACCOUNT_MANAGE)
def set_preferences(actor: Actor, data: PreferencesPatch) -> Preferences:
    """Change the preferences that were sent."""
    row = preferences(actor)
    after = data.model_dump(exclude_unset=True, exclude_none=True)
    changes = audit.difference({key: getattr(row, key) for key in after}, after)
    for key, value in after.items():
        setattr(row, key, value)
    db.session.add(row)
    db.session.flush()
    if changes:
        audit.record(actor, "account.preferences_changed", me(actor), changes)
    return row


def id_of(email: str) -> str | None:
    """The account with this address; without one, the oldest account."""
    exact = db.session.scalar(select(User.id).where(User.email == email))
    return exact or db.session.scalar(select(User.id).order_by(User.id).limit(1))


def find(user_id: str) -> User:
    """An account by id."""
    user = db.session.get(User, user_id)
    if user is None:
        raise NotFound("This account is gone.")
    return user


def names(user_ids: set[str]) -> dict[str, str]:
    """The names behind ids, for lists."""
    if not user_ids:
        return {}
    found: Any = db.session.execute(select(User.id, User.name).where(User.id.in_(user_ids)))
    return {row.id: row.name for row in found}


def forget_expired() -> int:
    """Drop sessions that have ended; returns how many."""
    with transaction():
        gone = db.session.execute(delete(LoginSession).where(LoginSession.expires_at < now()))
    return getattr(gone, "rowcount", 0)
