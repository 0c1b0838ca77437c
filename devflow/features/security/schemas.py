"""What comes in and goes out about roles given in places."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from devflow.core.access import Permission
from devflow.core.paging import ListQuery
from devflow.core.schema import Input, Moment, Output
from devflow.features.accounts.schemas.fields import Email


class PlaceIn(Input):
    """One project, one team, or (without both) the whole platform."""

    team_id: str | None = Field(None, max_length=63)
    project_id: str | None = Field(None, max_length=63)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.team_id and self.project_id:
            raise ValueError("Name a team or a project, not both.")
        return self

    @property
    def place(self) -> str:
        """The place in one word, as `places.find` reads it."""
        if self.project_id:
            return f"project:{self.project_id}"
        return f"team:{self.team_id}" if self.team_id else ""


class AssignIn(PlaceIn):
    effect: Literal["grant", "remove"] = Field("grant", description="remove: take what the role holds away there.")


class WhyQuery(PlaceIn):
    user_id: str | None = Field(None, max_length=36, description="Yourself if absent.")
    permission: Permission


class WhyForm(Input):
    """The same question as a page asks it: the place in one word, and perhaps no permission yet."""

    place: str = Field("", max_length=80)
    user_id: str | None = Field(None, max_length=36)
    permission: Permission | None = None


class GrantIn(PlaceIn):
    """A role for whoever owns an e-mail address."""

    role_id: str = Field(min_length=1, max_length=36)
    email: Email
    effect: Literal["grant", "remove"] = "grant"


class ReachQuery(ListQuery):
    """Which of those who can reach a place the page shows."""

    default_limit: ClassVar[int] = 50

    search: str = Field("", max_length=200)


class RoleName(Output):
    id: str
    name: str


class HoldingsOut(Output):
    user_id: str
    roles: list[RoleName]
    permissions: list[str]


class GrantOut(Output):
    """A role given to somebody (grant), or what it holds taken away (remove), in one place."""

    id: str
    user_id: str | None = Field(description="None where the role was given to an address.")
    email: str | None
    role_id: str
    role_name: str
    effect: str
    scope: str
    team_id: str | None
    project_id: str | None
    place_name: str
    given_by: str | None
    created_at: Moment


class ReachOut(Output):
    """Somebody who can reach a place, and by what."""

    user_id: str | None
    name: str
    email: str
    is_active: bool
    team_role: str | None
    grants: list[GrantOut]


class SourceOut(Output):
    kind: str
    effect: str
    text: str
    role: str | None
    given_by: str | None
    given_at: Moment | None


class WhyOut(Output):
    user_id: str
    name: str
    permission: str
    place: str
    allowed: bool
    text: str
    sources: list[SourceOut]
