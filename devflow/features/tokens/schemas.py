"""What comes in and goes out about API tokens."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, AliasChoices, Field, ValidationInfo, field_validator, model_validator

from devflow.core.access import SCOPES, Permission
from devflow.core.paging import ListQuery
from devflow.core.schema import Input, Moment, Output, written
from devflow.features.accounts.schemas.fields import Email

DEFAULT_DAYS = 365
"""conflicts.md C38; the page proposes less."""
MOST = 100


def _known(scope: str) -> str:
    if scope not in SCOPES and scope not in {permission.value for permission in Permission}:
        raise ValueError(
            f"There is no scope {scope[:60]}. There are read, write, deploy, admin, and single permissions."
        )
    return scope


Scope = Annotated[str, AfterValidator(_known)]
Scopes = Annotated[list[Scope], Field(min_length=1, max_length=MOST)]
Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9-]+$")]


def _once(scopes: list[str]) -> list[str]:
    return list(dict.fromkeys(scopes))


def _one_line(name: str) -> str:
    if not name.isprintable():
        raise ValueError("A name is one line of text.")
    return name


Name = Annotated[str, Field(max_length=120), AfterValidator(_one_line)]


class TokenIn(Input):
    token_name: Name = ""
    name: Name = Field("", description="What uses it; `token_name` is understood too.")
    scopes: Scopes = Field(
        ["read"], description="read, write, deploy, admin, or single permissions such as projects:read."
    )
    expires_in_days: int | None = Field(None, ge=0, le=36_500, description="365 unless said; 0 is for ever.")
    never: bool = Field(False, description="It never expires; for administrators of the platform.")
    team_id: Id | None = Field(None, description="Limits it to one team.")
    project_ids: list[Id] = Field([], max_length=MOST, description="Limits it to these projects.")
    allowed_ips: list[Annotated[str, Field(max_length=64)]] = Field(
        [], max_length=MOST, description="Addresses or ranges it may be used from."
    )

    @model_validator(mode="before")
    @classmethod
    def _permissions_are_scopes(cls, data: Any) -> Any:
        return {**data, "scopes": data["permissions"]} if _only_permissions(data) else data

    @field_validator("scopes")
    @classmethod
    def _each_once(cls, scopes: list[str]) -> list[str]:
        return _once(scopes)


def _only_permissions(data: Any) -> bool:
    return isinstance(data, dict) and "permissions" in data and "scopes" not in data


class OwnTokenIn(TokenIn):
    """A token for oneself; it needs a name."""

    name: Name = Field("", validate_default=True, description="What uses it; `token_name` is understood too.")

    @field_validator("name")
    @classmethod
    def _named(cls, value: str, info: ValidationInfo) -> str:
        name = value or info.data.get("token_name", "")
        if not name:
            raise ValueError("Write a name.")
        return str(name)


class PasswordTokenIn(TokenIn):
    """A token for whoever proves to be the owner with password (and second factor)."""

    email: Email
    password: str = Field(min_length=1, max_length=1024)
    code: str = Field("", max_length=32, validation_alias=AliasChoices("code", "otp", "totp_code"))
    scopes: Scopes = ["read", "write", "deploy"]


class TokenForm(Input):
    """The fields of the page that have one value each; scopes and projects come as lists beside them."""

    name: str = Field(max_length=120, min_length=1)
    expires_in_days: int = 90
    team_id: str = ""
    allowed_ips: str = Field("", max_length=4000)


class ScopesForm(Input):
    """A form whose only fields are lists."""


class RotateIn(Input):
    expires_in_days: int | None = Field(None, ge=0, le=36_500, description="A new end, from today; else it stays.")
    grace_hours: float = Field(0, ge=0, le=24, description="How long the old value goes on working.")


class ScopesIn(Input):
    scopes: Scopes

    @model_validator(mode="before")
    @classmethod
    def _permissions_are_scopes(cls, data: Any) -> Any:
        return {**data, "scopes": data["permissions"]} if _only_permissions(data) else data

    @field_validator("scopes")
    @classmethod
    def _each_once(cls, scopes: list[str]) -> list[str]:
        return _once(scopes)


class TokenQuery(ListQuery):
    default_limit: ClassVar[int] = 50

    active: bool | None = Field(None, description="Only those that work, or only those that do not.")


PERIODS = {"hour": 1, "day": 1, "week": 7, "month": 30}
"""Uses are counted by the day, so an hour shows the day it is in."""


PERIOD = r"^(hour|day|week|month|[1-9]d|[1-8][0-9]d|90d)$"
Period = Annotated[
    str,
    Field(
        max_length=5,
        json_schema_extra={"pattern": PERIOD},
        description="hour, day, week, month, or days such as 7d; at most 90d.",
    ),
    AfterValidator(written(PERIOD, "An hour, day, week or month, or days such as 7d, at most 90d.")),
]


class UsageQuery(Input):
    period: Period = "30d"

    @property
    def days(self) -> int:
        return PERIODS.get(self.period) or int(self.period[:-1])


class TokenOut(Output):
    id: str
    name: str
    token_prefix: str
    scopes: list[str]
    permissions: list[str]
    last_used_at: Moment | None
    expires_at: Moment | None
    revoked_at: Moment | None
    created_at: Moment


class NewTokenOut(TokenOut):
    """The one answer that holds the value."""

    token: str

    @model_validator(mode="before")
    @classmethod
    def _from_made(cls, made: Any) -> Any:
        return {**TokenOut.model_validate(made.row).model_dump(), "token": made.value}


class TokenOwnerOut(Output):
    id: str
    email: str


class PasswordTokenOut(Output):
    token: str
    expires_at: Moment | None
    permissions: list[str]
    id: str
    name: str
    token_prefix: str
    scopes: list[str]
    user: TokenOwnerOut
    created_at: Moment

    @model_validator(mode="before")
    @classmethod
    def _from_made(cls, made: Any) -> Any:
        owner = {"id": made.user.id, "email": made.user.email}
        return {**TokenOut.model_validate(made.row).model_dump(), "token": made.value, "user": owner}


class TokenUserOut(Output):
    id: str
    email: str
    name: str
    full_name: str
    role: str


class TokenInfoOut(Output):
    valid: bool
    user: TokenUserOut
    expires_at: Moment | None
    token_type: Literal["api_token", "jwt", "session"]
    scopes: list[str]
    permissions: list[str]


class UsageDayOut(Output):
    date: str
    requests: int


class UsageRouteOut(Output):
    method: str
    path: str
    requests: int


class UsageOut(Output):
    token_id: str
    total_requests: int
    requests_today: int
    error_count: int
    last_used_at: Moment | None
    last_ip: str
    by_day: list[UsageDayOut]
    by_endpoint: list[UsageRouteOut]
