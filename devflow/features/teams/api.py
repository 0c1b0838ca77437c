"""Teams, members, invitations and the end of an account as JSON."""

from __future__ import annotations

from typing import Any

from flask import request

from devflow.core.access import Permission
from devflow.core.errors import Conflict, Forbidden, Invalid, NotFound, Stale, Unauthenticated
from devflow.core.paging import Page
from devflow.core.settings import Settings
from devflow.features.accounts.service.guarding import Guard
from devflow.features.audit import service as audit
from devflow.features.audit.schemas import ActivityOut
from devflow.features.settings import service as platform
from devflow.features.teams.schemas import (
    AccountCloseIn,
    InvitationOut,
    InvitedOut,
    InviteIn,
    JoinedOut,
    MemberOut,
    MemberQuery,
    PendingQuery,
    RoleIn,
    TeamActivityQuery,
    TeamChoice,
    TeamDeleteIn,
    TeamIn,
    TeamOut,
    TeamPatch,
)
from devflow.features.teams.service import choose, inviting, leaving, membership, running
from devflow.ports.tries import Tries
from devflow.web.api import ApiBlueprint, Said
from devflow.web.entrance import device
from devflow.web.identity import actor, anybody, sign_out
from devflow.web.ports import port

bp = ApiBlueprint("teams", __name__)
P = Permission


def _team(asked: str | None, permission: Permission) -> str:
    """The team in the body or query, else in the header, else the caller's own."""
    return choose(actor(), asked or request.headers.get("X-Team-Id") or None, permission)


def _settings() -> Settings:
    return platform.current(port(Settings))


def _invited(made: inviting.Invited) -> dict[str, Any]:
    sent = bool(_settings().smtp_host)
    member = membership.described([made.member])[0]
    return {**member, "invitation": {"expires_at": made.member.expires_at, "sent": sent}}


@bp.post("/team/members", calls=inviting.invite, status=201, limit="sensitive", raises=(Conflict, Forbidden, NotFound))
def invite(query: TeamChoice, body: InviteIn) -> InvitedOut:
    """Invite somebody by e-mail; the link in the letter is good for seven days."""
    team = _team(body.team_id or query.team_id, P.MEMBERS_MANAGE)
    return _invited(inviting.invite(actor(), team, body, _settings()))


@bp.get("/team/members", calls=membership.search, raises=(NotFound,))
def members(query: MemberQuery) -> Page[MemberOut]:
    """List the members of a team and those invited."""
    return membership.search(actor(), _team(query.team_id, P.MEMBERS_READ), query)


@bp.put("/team/members/<member_id>/role", calls=membership.set_role, limit="sensitive", raises=(NotFound, Conflict))
def set_role(member_id: str, body: RoleIn) -> MemberOut:
    """Change the role of a member; a team keeps at least one owner."""
    return membership.described([membership.set_role(actor(), member_id, body.role)])[0]


@bp.delete("/team/members/<member_id>", calls=membership.remove, limit="sensitive", raises=(NotFound, Conflict))
def remove(member_id: str) -> Said:
    """Remove a member, leave a team, or withdraw an invitation."""
    membership.part(actor(), member_id)
    return Said(None, "Member removed successfully")


@bp.get("/team/invitations/pending", calls=inviting.pending, raises=(NotFound,))
def pending(query: PendingQuery) -> Page[MemberOut]:
    """List the open invitations of a team, and those sent to your own verified address."""
    return inviting.pending(actor(), _team(query.team_id, P.MEMBERS_READ), query)


@bp.get("/team/invitations/<invite_token>", calls=inviting.preview, raises=(NotFound,))
def invitation(invite_token: str) -> InvitationOut:
    """What an invitation says; looking does not use it up."""
    return inviting.preview(anybody(), invite_token)


@bp.post("/team/invitations/<invite_token>/accept", calls=inviting.accept, raises=(NotFound, Conflict, Forbidden))
def accept(invite_token: str) -> JoinedOut:
    """Join the team of an invitation that was sent to your address."""
    member = inviting.accept(actor(), invite_token)
    return {**membership.described([member])[0], "team": inviting.team_of(member)}


@bp.post("/team/invitations/<member_id>/resend", calls=inviting.resend, raises=(NotFound, Conflict, Forbidden))
def resend(member_id: str) -> InvitedOut:
    """Send an invitation again with a new link; the old one is dead."""
    return _invited(inviting.resend(actor(), member_id, _settings()))


@bp.get("/team/activity-logs", calls=audit.activity, raises=(NotFound,))
def activity(query: TeamActivityQuery) -> Page[ActivityOut]:
    """What was done in a team, newest first."""
    return audit.activity(actor(), _team(query.team_id, P.TEAMS_READ), query)


@bp.post("/teams", calls=running.create, status=201, raises=(Conflict,))
def create(body: TeamIn) -> TeamOut:
    """Create a team; you own it."""
    return running.create(actor(), body)


@bp.put("/teams/<team_id>", calls=running.change, raises=(NotFound, Conflict))
def change(team_id: str, body: TeamPatch) -> TeamOut:
    """Change the name or short name of a team."""
    return running.change(actor(), team_id, body)


@bp.delete("/teams/<team_id>", calls=running.delete, limit="sensitive", raises=(NotFound, Conflict, Stale, Invalid))
def delete(team_id: str, body: TeamDeleteIn) -> Said:
    """Delete a team with all its projects; `confirm` is its name or short name."""
    running.delete(actor(), team_id, body.confirm)
    return Said(None, "Team deleted successfully")


@bp.post("/teams/<team_id>/leave", calls=membership.leave, raises=(NotFound, Conflict))
def leave(team_id: str) -> Said:
    """Stop being a member of a team."""
    membership.leave(actor(), team_id)
    return Said(None, "You left the team")


@bp.delete(
    "/user/account", calls=leaving.close_account, limit="sensitive", raises=(Unauthenticated, Conflict, Invalid, Stale)
)
def close_account(body: AccountCloseIn) -> Said:
    """Delete your account and the teams that only you are in; all its sessions and tokens die."""
    leaving.close_account(actor(), body, Guard(port(Tries), device()))
    sign_out()
    return Said(None, "Account deleted successfully")
