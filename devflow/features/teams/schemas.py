"""What comes in and goes out about teams and their members."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from devflow.core.paging import ListQuery
from devflow.core.schema import Input, Moment, Output, written
from devflow.features.accounts.schemas.fields import Email
from devflow.features.audit.schemas import ActivityQuery


def _role(value: Any) -> Any:
    return "member" if value == "developer" else value


def _visible(text: str) -> str:
    if not text.isprintable():
        raise ValueError("Use characters that can be seen.")
    return text


RoleWord = Annotated[Literal["owner", "admin", "member", "viewer"], BeforeValidator(_role)]
ServiceRole = Annotated[Literal["admin", "member", "viewer"], BeforeValidator(_role)]
"""A service account owns nothing: what it may is what its team lets it."""
Name = Annotated[str, Field(max_length=255), AfterValidator(_visible)]
TeamName = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_visible)]
SLUG = r"^[a-z0-9](?:[a-z0-9-]*[a-z0-9])$"
Slug = Annotated[
    str,
    Field(min_length=2, max_length=63, json_schema_extra={"pattern": SLUG}),
    AfterValidator(written(SLUG, "Small letters, digits and hyphens, no hyphen first or last.")),
]


class TeamIn(Input):
    name: TeamName
    slug: Slug | None = None


class TeamPatch(Input):
    name: TeamName | None = None
    slug: Slug | None = None


class TeamDeleteIn(Input):
    confirm: str = Field("", max_length=255, description="The name of the team, or its slug.")


class TeamChoice(Input):
    team_id: str | None = Field(None, max_length=64, description="Default: the header X-Team-Id, else your own team.")


class TeamListQuery(ListQuery):
    default_limit: ClassVar[int] = 50


class InviteIn(TeamChoice):
    email: Email
    role: RoleWord = "member"
    name: Name = ""
    message: str = Field("", max_length=1000)


class RoleIn(Input):
    role: RoleWord


class PendingQuery(ListQuery):
    default_limit: ClassVar[int] = 50

    team_id: str | None = Field(None, max_length=64)


class MemberQuery(PendingQuery):
    role: RoleWord | None = None
    status: Literal["active", "pending", "removed"] | None = None
    search: str = Field("", max_length=200)


class RosterQuery(MemberQuery):
    """What the page of a team shows: members, and beside them a page of its invitations."""

    invited: int = Field(1, ge=1, le=1_000_000)


class TeamActivityQuery(ActivityQuery):
    team_id: str | None = Field(None, max_length=64)


class AccountCloseIn(Input):
    password: str = Field("", max_length=1024)
    confirm: str = Field("", max_length=255, description="Your e-mail address. If sent, it has to be right.")
    teams: dict[str, str] = Field(
        default_factory=dict,
        max_length=200,
        description="For each team that has other members and no other owner: `delete`, or the id of the member who "
        "owns it from now on.",
    )


class Named(Output):
    id: str
    name: str


class MemberOut(Output):
    id: str
    team_id: str
    user_id: str | None
    email: str
    name: str
    role: str
    status: str = Field(
        description="pending, active, removed; ended: an invitation whose sender may not give this role any more."
    )
    invited_by: Named | None
    invited_at: Moment | None
    joined_at: Moment | None
    expires_at: Moment | None
    last_active_at: Moment | None


class MemberDetail(MemberOut):
    permissions: list[str]
    projects: list[Named]


class JoinedOut(MemberOut):
    team: Named


class InvitationSent(Output):
    expires_at: Moment
    sent: bool


class InvitedOut(MemberOut):
    invitation: InvitationSent


class Inviter(Output):
    name: str


class InvitedTeam(Output):
    name: str


class InvitationOut(Output):
    email: str
    role: str
    team: InvitedTeam
    invited_by: Inviter | None
    expires_at: Moment | None
    status: str = Field(
        description="pending, accepted, expired; ended: its sender may not give this role in the team any more."
    )


class TeamOut(Output):
    id: str
    name: str
    slug: str
    is_personal: bool
    created_at: Moment


class TeamListed(TeamOut):
    role: str
    member_count: int
    project_count: int


class ServiceAccountQuery(PendingQuery):
    search: str = Field("", max_length=200)


class ServiceAccountIn(TeamChoice):
    name: TeamName = Field(description="What it is for, such as GitHub Actions; once in a team.")
    description: str = Field("", max_length=500)
    role: ServiceRole = Field("member", description="Its role in the team: viewer, member (or developer), admin.")


class ServiceAccountPatch(Input):
    name: TeamName | None = None
    description: str | None = Field(None, max_length=500)
    role: ServiceRole | None = None
    is_active: bool | None = Field(None, description="false stops its tokens within a second.")


class ServiceAccountOut(Output):
    id: str
    team_id: str
    name: str
    description: str
    role: str
    is_active: bool
    created_by: Named | None
    created_at: Moment
    token_count: int = Field(description="Its tokens that work now.")
    last_used_at: Moment | None
