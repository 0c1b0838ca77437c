"""Sign-in, sign-up and the settings of one's own account."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, session, url_for
from flask.typing import ResponseReturnValue

from devflow.core.access import Actor
from devflow.core.errors import Conflict, Invalid, Unauthenticated
from devflow.core.settings import Settings
from devflow.features.accounts.schemas import LoginIn, SignUpIn
from devflow.features.accounts.service import entering, people
from devflow.features.accounts.service.guarding import Guard
from devflow.features.settings import service as platform
from devflow.ports.tries import Tries
from devflow.web.device import device
from devflow.web.identity import actor, anybody, sign_in, sign_out, visitor
from devflow.web.limits import credentials
from devflow.web.pages import local_path, redirect, submits
from devflow.web.ports import port

bp = Blueprint("accounts", __name__)


def _enter(signed_in: entering.SignedIn, *, remember: bool) -> ResponseReturnValue:
    user = signed_in.user
    sign_in(signed_in.session.id, Actor(user.id, user.name, user.email), remember=remember)
    said = f"Welcome, {user.name}"
    return redirect(local_path(request.args.get("next"), url_for("dashboard.index")), said)


def _door(first: bool) -> dict[str, Any]:
    settings = platform.current(port(Settings))
    return {"providers": [], "sign_up_open": settings.sign_up == "open" or first, "first": first}


@bp.route("/login", methods=["GET", "POST"])
@credentials
@submits("accounts/login.html", LoginIn)
def login(data: LoginIn | None) -> Any:
    if data is None:
        if visitor() is not None:
            return redirect(url_for("dashboard.index"))
        return _door(first=not people.has_accounts())
    try:
        signed_in = entering.login(anybody(), data, port(entering.Keys), Guard(port(Tries), device()), browser=True)
    except Unauthenticated as error:
        raise Invalid(error.message, {"form": [error.message]}) from error
    return _enter(signed_in, remember=data.remember_me)


@bp.route("/signup", methods=["GET", "POST"])
@credentials
@submits("accounts/signup.html", SignUpIn)
def signup(data: SignUpIn | None) -> Any:
    if data is None:
        if visitor() is not None:
            return redirect(url_for("dashboard.index"))
        return _door(first=not people.has_accounts())
    settings = platform.current(port(Settings))
    try:
        signed_in = entering.register(anybody(), data, port(entering.Keys), settings.sign_up, browser=True)
    except Conflict as error:
        raise Invalid(error.message, {"email": [error.message]}) from error
    return _enter(signed_in, remember=False)


@bp.post("/logout")
def logout() -> ResponseReturnValue:
    entering.logout(actor())
    sign_out()
    return redirect(url_for("accounts.login"), "Signed out")


@bp.post("/team")
def switch_team() -> ResponseReturnValue:
    """Remember which team the pages show first."""
    wanted = request.form.get("team_id", "")
    if wanted in actor().teams:
        session["team"] = wanted
    return redirect(url_for("dashboard.index"))
