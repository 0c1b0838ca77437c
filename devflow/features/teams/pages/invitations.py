"""Where the link of an invitation leads, signed in or not."""

from __future__ import annotations

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue

from devflow.core.errors import Conflict, Forbidden, NotFound
from devflow.features.teams.rules import ROLES, TITLES
from devflow.features.teams.service import inviting
from devflow.web.identity import actor, anybody, visitor
from devflow.web.pages import redirect, render
from devflow.web.place import remember

bp = Blueprint("invitations", __name__, url_prefix="/invitations")
_FACTS = {word: fact for word, _, fact in ROLES}


@bp.get("/<invite_token>")
def show(invite_token: str) -> ResponseReturnValue:
    """Opening the link changes nothing."""
    try:
        found = inviting.preview(anybody(), invite_token)
    except NotFound:
        return render("teams/invitation.html", status=404, state="unknown")
    state = found["status"]
    if state == "pending" and visitor() is not None:
        state = "mine" if found["for_me"] else "other"
    title, fact = TITLES[found["role"]], _FACTS[found["role"]]
    return render("teams/invitation.html", state=state, found=found, title=title, fact=fact, token=invite_token)


@bp.post("/<invite_token>/accept")
def accept(invite_token: str) -> ResponseReturnValue:
    try:
        member = inviting.accept(actor(), invite_token)
    except (Conflict, Forbidden, NotFound):
        return redirect(url_for("invitations.show", invite_token=invite_token))  # which says what is the matter
    remember(member.team_id)
    return redirect(url_for("teams.index"), f"You belong to {inviting.team_of(member).name} now")
