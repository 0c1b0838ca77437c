"""Sign-in, sign-up and the settings of one's own account."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, session, url_for
from flask.typing import ResponseReturnValue

from devflow.core.access import Actor
from devflow.core.errors import Conflict, Invalid, Unauthenticated
from devflow.core.settings import Settings
from devflow.features.accounts import service
from devflow.features.accounts.schemas import LoginIn, PreferencesPatch, ProfilePatch, SignUpIn
from devflow.features.settings import service as platform
from devflow.web.identity import actor, anybody, sign_in, sign_out, visitor
from devflow.web.limits import credentials
from devflow.web.pages import checked, local_path, redirect, submits
from devflow.web.ports import port

bp = Blueprint("accounts", __name__)
own = Blueprint("settings", __name__)


def _enter(signed_in: service.SignedIn, *, remember: bool) -> ResponseReturnValue:
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
        return _door(first=not service.has_accounts())
    try:
        signed_in = service.login(anybody(), data, port(service.Keys), browser=True)
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
        return _door(first=not service.has_accounts())
    settings = platform.current(port(Settings))
    try:
        signed_in = service.register(anybody(), data, port(service.Keys), settings.sign_up, browser=True)
    except Conflict as error:
        raise Invalid(error.message, {"email": [error.message]}) from error
    return _enter(signed_in, remember=False)


@bp.post("/logout")
def logout() -> ResponseReturnValue:
    service.logout(actor())
    sign_out()
    return redirect(url_for("accounts.login"), "Signed out")


@bp.post("/team")
def switch_team() -> ResponseReturnValue:
    """Remember which team the pages show first."""
    wanted = request.form.get("team_id", "")
    if wanted in actor().teams:
        session["team"] = wanted
    return redirect(url_for("dashboard.index"))


@own.route("/settings", methods=["GET", "POST"])
@submits("settings/index.html", ProfilePatch, calls=service.update)
def index(data: ProfilePatch | None) -> Any:
    if data is not None:
        service.update(actor(), data)
        return redirect(url_for("settings.index"), "Profile saved")
    user = service.me(actor())
    return {
        "tab": request.args.get("tab", "profile"),
        "user": user,
        "values": {"name": user.name, "email": user.email, "username": user.username},
        "preferences": service.preferences(actor()),
        "sessions": service.sessions(actor()),
        "current_session_id": actor().session_id,
    }


@own.post("/settings/preferences")
def preferences() -> ResponseReturnValue:
    service.set_preferences(actor(), checked(PreferencesPatch, request.form.to_dict()))
    return redirect(url_for("settings.index", tab="appearance"), "Saved")


@own.post("/settings/sessions/<session_id>/end")
def end_session(session_id: str) -> ResponseReturnValue:
    service.end_session(actor(), session_id)
    return redirect(url_for("settings.index", tab="sessions"), "That session has ended")
