"""How one's own account is protected: password, second factor, connected sign-ins, sessions."""

from __future__ import annotations

from typing import Any

from flask import url_for
from flask.typing import ResponseReturnValue

from devflow.core.errors import Invalid, Unauthenticated
from devflow.features.accounts.pages import factors, oauth
from devflow.features.accounts.pages.own import bp
from devflow.features.accounts.schemas.recovery import PasswordForm
from devflow.features.accounts.service import entering, passwords, people
from devflow.features.accounts.service.guarding import Guard
from devflow.ports.tries import Tries
from devflow.web.entrance import device
from devflow.web.identity import actor
from devflow.web.limits import credentials
from devflow.web.pages import redirect, submits
from devflow.web.ports import port


@bp.route("/settings/security", methods=["GET", "POST"])
@credentials
@submits("settings/security.html", PasswordForm, calls=passwords.change)
def security(data: PasswordForm | None) -> Any:
    if data is not None:
        guard, cost = Guard(port(Tries), device()), port(entering.Keys).cost
        try:
            passwords.change(actor(), data.current_password, data.password, cost, guard)
        except Unauthenticated as error:
            raise Invalid(error.message, {"current_password": [error.message]}) from error
        return redirect(url_for("settings.security"), "Password changed. Your other sessions have ended")
    return {
        "has_password": people.me(actor()).password_hash is not None,
        "sessions": entering.sessions(actor()),
        "current_session_id": actor().session_id,
        **factors.panel(),
        **oauth.panel(),
    }


@bp.post("/settings/sessions/<session_id>/end")
def end_session(session_id: str) -> ResponseReturnValue:
    entering.end_session(actor(), session_id)
    return redirect(url_for("settings.security"), "That session has ended")


@bp.post("/settings/sessions/end-others")
def end_other_sessions() -> ResponseReturnValue:
    ended = entering.end_other_sessions(actor())
    said = "1 session has ended" if ended == 1 else f"{ended} sessions have ended"
    return redirect(url_for("settings.security"), said)
