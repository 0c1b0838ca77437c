"""Sign-in, sign-up and the settings of one's own account."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from devflow.core.access import Actor
from devflow.core.errors import Conflict, Forbidden, Invalid, TooMany, Unauthenticated
from devflow.core.settings import Settings
from devflow.features.accounts.schemas.entering import LoginIn, SignUpIn
from devflow.features.accounts.schemas.factors import CodeIn, ConfirmIn
from devflow.features.accounts.service import confirming, entering, factors, people
from devflow.features.accounts.service.guarding import DEVICE_SECONDS, Guard
from devflow.features.settings import service as platform
from devflow.ports.oauth import OAuth
from devflow.ports.tries import Tries
from devflow.web.entrance import begin_half, device, half, keep_device
from devflow.web.identity import actor, anybody, sign_in, sign_out, visitor
from devflow.web.limits import credentials
from devflow.web.pages import local_path, redirect, submits
from devflow.web.ports import port

bp = Blueprint("accounts", __name__)


def _guard() -> Guard:
    return Guard(port(Tries), device())


def _enter(signed_in: entering.SignedIn, *, remember: bool) -> ResponseReturnValue:
    user = signed_in.user
    sign_in(signed_in.session.id, Actor(user.id, user.name, user.email), remember=remember)
    keep_device(_guard().remember(user.id), DEVICE_SECONDS)
    return redirect(_wanted(url_for("dashboard.index")), f"Welcome, {user.name}")


def _wanted(otherwise: str = "") -> str:
    """Where this browser wanted to go before it had to sign in."""
    return local_path(request.args.get("next"), otherwise)


def _door() -> dict[str, Any]:
    settings, first = platform.current(port(Settings)), not people.has_accounts()
    invite = request.args.get("invite_token") or request.args.get("invite") or None
    providers = [
        {"name": p.name, "title": p.title, "url": _start(p.name, redirect=_wanted() or None, invite_token=invite)}
        for p in port(OAuth).providers()
    ]
    return {
        "providers": providers, "sign_up_open": settings.sign_up == "open" or first, "first": first,
        "invite_token": invite,
    }  # fmt: skip


def _start(provider: str, **args: Any) -> str:
    return url_for(f"plain.oauth.{provider}_start", **args)


@bp.route("/login", methods=["GET", "POST"])
@credentials
@submits("accounts/login.html", LoginIn)
def login(data: LoginIn | None) -> Any:
    if data is None:
        return redirect(_wanted(url_for("dashboard.index"))) if visitor() else _door()
    try:
        signed_in = entering.login(anybody(), data, port(entering.Keys), _guard(), browser=True)
    except factors.CodeNeeded as needed:
        begin_half(needed.user_id, remember=data.remember_me)
        return redirect(url_for("accounts.second_factor", next=_wanted() or None))
    except (Unauthenticated, Forbidden, TooMany) as error:
        raise Invalid(error.message, {"form": [error.message]}) from error
    return _enter(signed_in, remember=data.remember_me)


@bp.route("/login/code", methods=["GET", "POST"])
@credentials
@submits("accounts/second_factor.html", CodeIn)
def second_factor(data: CodeIn | None) -> Any:
    """The second half of a sign-in: a code of the authenticator app, or a recovery code."""
    begun = half()
    if begun is None:
        return redirect(url_for("accounts.login", next=_wanted() or None), "Sign in again: it took too long")
    if data is None:
        return {}
    keys = port(entering.Keys)
    seconds = keys.seconds(browser=True, remember=begun.remember)
    try:
        signed_in = entering.login_with_code(anybody(), begun.user_id, data.code, keys, _guard(), seconds)
    except (Unauthenticated, TooMany) as error:
        raise Invalid(error.message, {"code": [error.message]}) from error
    return _enter(signed_in, remember=begun.remember)


@bp.route("/confirm", methods=["GET", "POST"])
@credentials
@submits("accounts/confirm.html", ConfirmIn, calls=confirming.confirm)
def confirm(data: ConfirmIn | None) -> Any:
    """Prove once more who you are, then go on."""
    if data is None:
        ways = confirming.ways(actor())
        known = {p.name: p.title for p in port(OAuth).providers() if p.name in ways.providers}
        return {"ways": ways, "providers": known, "next": _wanted()}
    try:
        confirming.confirm(actor(), data, _guard())
    except (Unauthenticated, TooMany) as error:
        raise Invalid(error.message, {"code" if data.password is None else "password": [error.message]}) from error
    return redirect(_wanted(url_for("dashboard.index")))


@bp.route("/signup", methods=["GET", "POST"])
@credentials
@submits("accounts/signup.html", SignUpIn)
def signup(data: SignUpIn | None) -> Any:
    if data is None:
        return redirect(_wanted(url_for("dashboard.index"))) if visitor() else _door()
    settings = platform.current(port(Settings))
    try:
        signed_in = entering.register(anybody(), data, port(entering.Keys), settings.sign_up, browser=True)
    except Conflict as error:
        raise Invalid(error.message, {"email": [error.message]}) from error
    except Forbidden as error:
        raise Invalid(error.message, {"form": [error.message]}) from error
    return _enter(signed_in, remember=False)


@bp.post("/logout")
def logout() -> ResponseReturnValue:
    entering.logout(actor())
    sign_out()
    return redirect(url_for("accounts.login", next=_wanted() or None), "Signed out")
