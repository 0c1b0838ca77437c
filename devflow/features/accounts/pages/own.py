"""The settings of one's own account."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from devflow.features.accounts.schemas import PreferencesPatch, ProfilePatch
from devflow.features.accounts.service import entering, people
from devflow.web.identity import actor
from devflow.web.pages import checked, redirect, submits

bp = Blueprint("settings", __name__)


@bp.route("/settings", methods=["GET", "POST"])
@submits("settings/index.html", ProfilePatch, calls=people.update)
def index(data: ProfilePatch | None) -> Any:
    if data is not None:
        people.update(actor(), data)
        return redirect(url_for("settings.index"), "Profile saved")
    user = people.me(actor())
    return {
        "tab": request.args.get("tab", "profile"),
        "user": user,
        "values": {"name": user.name, "email": user.email, "username": user.username},
        "preferences": people.preferences(actor()),
        "sessions": entering.sessions(actor()),
        "current_session_id": actor().session_id,
    }


@bp.post("/settings/preferences")
def preferences() -> ResponseReturnValue:
    people.set_preferences(actor(), checked(PreferencesPatch, request.form.to_dict()))
    return redirect(url_for("settings.index", tab="appearance"), "Saved")


@bp.post("/settings/sessions/<session_id>/end")
def end_session(session_id: str) -> ResponseReturnValue:
    entering.end_session(actor(), session_id)
    return redirect(url_for("settings.index", tab="sessions"), "That session has ended")
