"""Accounts as JSON: register, sign in and out, who am I."""

from __future__ import annotations

from flask import request

from devflow.core.access import Actor
from devflow.core.errors import Conflict, Forbidden, TooMany, Unauthenticated
from devflow.core.settings import Settings
from devflow.features.accounts.schemas.entering import (
    LoginIn,
    LogoutIn,
    RefreshIn,
    RegisteredOut,
    SignUpIn,
    TokensOut,
    WhoAmIOut,
)
from devflow.features.accounts.schemas.people import MeOut, PreferencesOut, PreferencesPatch, ProfilePatch, UserOut
from devflow.features.accounts.service import entering, people
from devflow.features.accounts.service.guarding import DEVICE_SECONDS, Guard
from devflow.features.settings import service as platform
from devflow.ports.tries import Tries
from devflow.web.api import ApiBlueprint, Said
from devflow.web.entrance import asked_from_here, device, keep_device
from devflow.web.identity import actor, anybody, bearer_token, sign_in, sign_out, visitor
from devflow.web.limits import credentials
from devflow.web.ports import port

bp = ApiBlueprint("accounts", __name__)


@bp.post("/auth/register", calls=entering.register, status=201, raises=(Conflict, Forbidden))
@credentials
def register(body: SignUpIn) -> RegisteredOut:
    """Create an account; the answer holds its tokens, and for a browser the cookie of the same session."""
    settings = platform.current(port(Settings))
    made = entering.register(anybody(), body, port(entering.Keys), settings.sign_up)
    if visitor() is None and asked_from_here():
        sign_in(made.session.id, Actor(made.user.id, made.user.name, made.user.email), remember=False)
    return RegisteredOut.of(made, mail_works=bool(settings.smtp_host))


bp.alias("/auth/signup", "register")


@bp.post("/auth/login", calls=entering.login, raises=(Unauthenticated, Forbidden, TooMany))
@credentials
def login(body: LoginIn) -> TokensOut:
    """Sign in; the answer holds an access and a refresh token.

    Where two-factor sign-in is on, 401 TWO_FACTOR_REQUIRED asks for `code` as well: six digits or a recovery code.
    """
    guard = Guard(port(Tries), device())
    signed_in = entering.login(anybody(), body, port(entering.Keys), guard)
    keep_device(guard.remember(signed_in.user.id), DEVICE_SECONDS)
    return signed_in


@bp.post("/auth/refresh", calls=entering.refresh, raises=(Unauthenticated,))
@credentials
def refresh(body: RefreshIn) -> TokensOut:
    """A new access token for a refresh token, sent in the body or as bearer."""
    return entering.refresh(anybody(), body.refresh_token or bearer_token(request), port(entering.Keys))


@bp.post("/auth/logout", calls=entering.logout, raises=(Conflict,))
def logout(body: LogoutIn) -> Said:
    """End this session; its tokens answer 401 from now on."""
    other = port(entering.Keys).refresh.read(body.refresh_token or "")
    entering.logout(actor(), other.session_id if other else None, everywhere=body.all_sessions)
    sign_out()
    return Said(None, "Logged out successfully")


@bp.get("/auth/session", calls=people.me, raises=(Unauthenticated,))
def session() -> WhoAmIOut:
    """The signed-in user and until when the session, or the API token that came instead of one, holds."""
    who = actor()
    current = entering.current_session(who)
    ends = current.expires_at if current else who.until
    return {"authenticated": True, "user": people.me(who), "session": current, "expires_at": ends}


@bp.get("/auth/me", calls=people.me)
def me() -> MeOut:
    """The signed-in user, with what their roles on the platform allow; roles in teams and on projects come on top."""
    return people.with_rights(actor())


bp.alias("/users/me", "me")
bp.alias("/user/profile", "me")


@bp.put("/user/profile", calls=people.update, raises=(Conflict,))
def update(body: ProfilePatch) -> UserOut:
    """Change your profile; only the fields sent."""
    return people.update(actor(), body)


bp.alias("/users/me", "update")


@bp.get("/user/preferences", calls=people.preferences)
def preferences() -> PreferencesOut:
    """Your preferences."""
    return people.preferences(actor())


@bp.put("/user/preferences", calls=people.set_preferences)
def set_preferences(body: PreferencesPatch) -> PreferencesOut:
    """Change your preferences; only the fields sent."""
    return people.set_preferences(actor(), body)
