"""The settings of one's own account: profile, notifications, appearance."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, make_response, request, url_for
from flask.typing import ResponseReturnValue

from devflow.core.settings import Settings
from devflow.features.accounts.schemas.people import PreferencesPatch, ProfilePatch
from devflow.features.accounts.service import people
from devflow.web.identity import actor
from devflow.web.pages import checked, redirect, render, submits, toast, wants_block
from devflow.web.ports import port

bp = Blueprint("settings", __name__)


@bp.route("/settings", methods=["GET", "POST"])
@submits("settings/index.html", ProfilePatch, calls=people.update)
def index(data: ProfilePatch | None) -> Any:
    if data is not None:
        people.update(actor(), data)
        return redirect(url_for("settings.index"), "Profile saved")
    user = people.me(actor())
    values = {"name": user.name, "email": user.email, "username": user.username}
    return {"user": user, "values": values, "mail_works": bool(port(Settings).smtp_host)}


@bp.get("/settings/notifications")
def notifications() -> ResponseReturnValue:
    return render("settings/notifications.html", values=_switches())


@bp.get("/settings/appearance")
def appearance() -> ResponseReturnValue:
    return render("settings/appearance.html", values=_switches())


def _switches() -> dict[str, Any]:
    found = people.preferences(actor())
    return {name: getattr(found, name) for name in PreferencesPatch.model_fields}


@bp.post("/settings/preferences")
def preferences() -> ResponseReturnValue:
    """Save what was switched; scripts stay on the page."""
    sent = {name: value for name, value in request.form.to_dict().items() if name in PreferencesPatch.model_fields}
    people.set_preferences(actor(), checked(PreferencesPatch, sent))
    if not wants_block():
        return redirect(url_for("settings.appearance" if "theme" in sent else "settings.notifications"), "Saved")
    saved = make_response("", 204)
    return saved if "theme" in sent else toast(saved, "Saved")
