"""Make a team, switch between teams, rename, leave and delete them."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from devflow.core.errors import Conflict, Invalid
from devflow.features.teams.pages.members import here
from devflow.features.teams.schemas import TeamIn, TeamPatch
from devflow.features.teams.service import membership, running
from devflow.web.identity import actor
from devflow.web.limits import limited
from devflow.web.pages import flashed_error, redirect, submits
from devflow.web.place import remember

bp = Blueprint("team", __name__)


@bp.post("/team/switch")
def switch() -> ResponseReturnValue:
    """Remember which team the pages show."""
    wanted = request.form.get("team_id", "")
    if wanted in actor().teams:
        remember(wanted)
    return redirect(url_for("dashboard.index"))


@bp.route("/teams/new", methods=["GET", "POST"])
@submits("teams/new.html", TeamIn, calls=running.create)
def create(data: TeamIn | None) -> Any:
    if data is None:
        return {}
    try:
        team = running.create(actor(), data)
    except Conflict as error:
        raise Invalid(error.message, {"slug": [error.message]}) from error
    remember(team.id)
    return redirect(url_for("teams.index"), f"{team.name} created. Invite the people you work with.")


@bp.route("/team/settings", methods=["GET", "POST"])
@submits("teams/settings.html", TeamPatch, calls=membership.search)
def settings(data: TeamPatch | None) -> Any:
    team = here()
    if data is None:
        return {"values": {"name": team.name, "slug": team.slug}, "shown": team}
    try:
        running.change(actor(), team.id, data)
    except Conflict as error:
        raise Invalid(error.message, {"slug": [error.message]}) from error
    return redirect(url_for("team.settings"), "Team saved")


@bp.post("/team/leave")
@limited("sensitive")
def leave() -> ResponseReturnValue:
    team = here()
    with flashed_error():
        membership.leave(actor(), team.id)
        return redirect(url_for("dashboard.index"), f"You left {team.name}")
    return redirect(url_for("team.settings"))


@bp.post("/team/delete")
@limited("sensitive")
def delete() -> ResponseReturnValue:
    team = here()
    with flashed_error():
        running.delete(actor(), team.id, request.form.get("confirm", ""))
        return redirect(url_for("dashboard.index"), f"{team.name} is deleted; what runs for it is being stopped")
    return redirect(url_for("team.settings"))
