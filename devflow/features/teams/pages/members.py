"""The team a browser looks at: its members, invitations and activity."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from devflow.core.access import Permission
from devflow.core.errors import Conflict, Invalid, NotFound
from devflow.core.settings import Settings
from devflow.core.use_case import refusal
from devflow.features.accounts.service import people
from devflow.features.audit import service as audit
from devflow.features.settings import service as platform
from devflow.features.teams.rules import TITLES, lacking, roles_to_give
from devflow.features.teams.schemas import InviteIn, MemberQuery, RoleIn, RosterQuery, TeamActivityQuery
from devflow.features.teams.service import Team, chosen, inviting, membership
from devflow.features.teams.service.membership import find_member
from devflow.web.identity import actor
from devflow.web.limits import limited
from devflow.web.pages import checked, filters, flashed_error, redirect, render, submits
from devflow.web.place import remember, remembered
from devflow.web.ports import port

bp = Blueprint("teams", __name__, url_prefix="/team")


def here() -> Team:
    """The team this browser looks at."""
    team = chosen(actor(), remembered())
    if team is None:
        raise NotFound("You belong to no team yet.")
    return team


def _settings() -> Settings:
    return platform.current(port(Settings))


def mails() -> bool:
    """Does a mail server carry letters?"""
    return bool(_settings().smtp_host)


@bp.get("")
def index() -> ResponseReturnValue:
    who, team, asked = actor(), here(), filters(RosterQuery)
    asked.status = asked.status or "active"
    waiting = membership.search(who, team, MemberQuery(status="pending", page=asked.invited))
    page = membership.search(who, team, asked)
    pictures = people.pictures({row["user_id"] for row in page.items if row["user_id"]})
    return render(
        "teams/index.html", "rows", page=page, pictures=pictures, query=asked, waiting=waiting,
        to_give=roles_to_give(who, team), titles=TITLES, touchable=_touchable(team), mine=inviting.for_me(who),
    )  # fmt: skip


def _touchable(team: Team) -> list[str]:
    """The roles whose holders this person may change or remove."""
    who = actor()
    if not who.may(Permission.MEMBERS_MANAGE, team):
        return []
    return [role for role in TITLES if not lacking(who, role, team)]


@bp.route("/invite", methods=["GET", "POST"])
@limited("sensitive")
@submits("teams/invite.html", InviteIn, calls=inviting.invite)
def invite(data: InviteIn | None) -> Any:
    team = here()
    if not actor().may(Permission.MEMBERS_MANAGE, team):
        raise refusal(actor(), Permission.MEMBERS_MANAGE, team)
    if data is not None:
        try:
            return _sent(team, inviting.invite(actor(), team.id, data, _settings()))
        except Conflict as error:
            raise Invalid(error.message, {"email": [error.message]}) from error
    return {"to_give": roles_to_give(actor(), team), "values": {"role": "member"}, "mails": mails()}


def _sent(team: Team, made: inviting.Invited) -> ResponseReturnValue:
    """With a mail server: back to the members. Without one whoever invites carries the link, which is shown once."""
    email = made.member.email
    if mails():
        return redirect(url_for("teams.index"), f"Invitation sent to {email}")
    link = f"{_settings().page_url}{made.path}"
    return render("teams/invited.html", "form", link=link, email=email, expires_at=made.member.expires_at)


@bp.post("/invitations/<member_id>/resend")
@limited("sensitive")
def resend(member_id: str) -> ResponseReturnValue:
    return _sent(here(), inviting.resend(actor(), member_id, _settings()))


@bp.post("/members/<member_id>/role")
@limited("sensitive")
def set_role(member_id: str) -> ResponseReturnValue:
    who, role = actor(), checked(RoleIn, request.form.to_dict()).role
    with flashed_error():  # the page comes back with the role that still holds
        member = membership.set_role(who, member_id, role)
        return redirect(url_for("teams.index"), f"{_name(member)} is {TITLES[role].lower()} now")
    return redirect(url_for("teams.index"))


def _name(member: Any) -> str:
    return str(membership.described([member])[0]["name"] or member.email)


@bp.post("/members/<member_id>/remove")
@limited("sensitive")
def remove(member_id: str) -> ResponseReturnValue:
    member = find_member(actor(), member_id)
    name, invited = _name(member), member.status == "pending"
    with flashed_error():
        membership.part(actor(), member_id)
        return redirect(url_for("teams.index"), f"Invitation of {name} withdrawn" if invited else f"{name} removed")
    return redirect(url_for("teams.index"))


@bp.post("/invitations/<member_id>/accept")
def accept(member_id: str) -> ResponseReturnValue:
    member = inviting.accept(actor(), member_id)
    remember(member.team_id)
    return redirect(url_for("teams.index"), f"You belong to {inviting.team_of(member).name} now")


@bp.get("/activity")
def activity() -> ResponseReturnValue:
    asked, team = filters(TeamActivityQuery), here()
    people = membership.search(actor(), team, MemberQuery(status="active", limit=100)).items
    return render(
        "teams/activity.html", "rows", page=audit.activity(actor(), team.id, asked), query=asked, people=people
    )
