"""Accounts elsewhere: signing in with them, connecting GitHub."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from devflow.core.schema import Input, Moment, Output
from devflow.features.accounts.schemas.entering import TokensOut


class StartQuery(Input):
    redirect: str = Field("", max_length=500)
    invite_token: str = Field("", max_length=200)


_PRINTABLE = r"^[ -~]*$"
"""What RFC 6749, appendix A, lets `code`, `state` and `error` be made of."""


class CallbackQuery(Input):
    code: str = Field("", max_length=2048, pattern=_PRINTABLE)
    state: str = Field("", max_length=4096, pattern=_PRINTABLE)
    error: str = Field("", max_length=200, pattern=_PRINTABLE)


class DepartureOut(Output):
    authorization_url: str
    state: str


class GoogleTokenIn(Input):
    id_token: str = Field("", max_length=16_384)
    credential: str = Field("", max_length=16_384)
    access_token: str = Field("", max_length=16_384)
    token: str = Field("", max_length=16_384, validate_default=True, description="Needed, by any of the four names.")
    code: str | None = Field(None, max_length=40)
    invite_token: str = Field("", max_length=200)

    @field_validator("token")
    @classmethod
    def _one_token(cls, value: str, info: ValidationInfo) -> str:
        others = (info.data.get(name, "") for name in ("id_token", "credential", "access_token"))
        token = value or next((other for other in others if other), "")
        if not token:
            raise ValueError("Send the ID token that Google gave you, as token.")
        return token


class GithubConnectIn(Input):
    code: str = Field("", max_length=2048)
    state: str = Field("", max_length=4096)
    access_token: str = Field("", max_length=512)


class GithubConnectOut(Output):
    connected: bool
    github_username: str | None = None
    authorization_url: str | None = None
    state: str | None = None


class GithubConnectionOut(Output):
    connected: bool
    github_username: str | None = None
    avatar_url: str | None = None
    scopes: list[str] = Field(default_factory=list)
    connected_at: Moment | None = None
    token_expires_at: Moment | None = None


class ArrivalOut(TokensOut):
    is_new_user: bool
