"""The danger zone of one's account."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for

from devflow.core.errors import Invalid, TooMany, Unauthenticated
from devflow.features.accounts.service import people
from devflow.features.accounts.service.guarding import Guard
from devflow.features.teams.schemas import AccountCloseIn
from devflow.features.teams.service import leaving
from devflow.ports.tries import Tries
from devflow.web.entrance import device
from devflow.web.identity import actor, sign_out
from devflow.web.limits import limited
from devflow.web.pages import checked, redirect, submits
from devflow.web.ports import port

bp = Blueprint("account", __name__)


@bp.route("/settings/account", methods=["GET", "POST"])
@limited("sensitive")
@submits("teams/account.html", AccountCloseIn, calls=leaving.close_account)
def close_account(data: AccountCloseIn | None) -> Any:
    user = people.me(actor())
    if data is None:
        return {"user": user, "left": leaving.left_behind(actor())}
    decided = {name.removeprefix("team-"): value for name, value in request.form.items() if name.startswith("team-")}
    data = checked(AccountCloseIn, {**data.model_dump(), "teams": decided, "confirm": data.confirm or "-"})
    try:
        leaving.close_account(actor(), data, Guard(port(Tries), device()))
    except (TooMany, Unauthenticated) as error:
        raise Invalid(error.message, {"password": [error.message]}) from error
    sign_out()
    return redirect(url_for("accounts.login"), "Your account is deleted")
