"""Signing up, in and out; tokens and sessions."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from devflow.core.schema import Input, Moment, Output
from devflow.features.accounts.schemas.fields import Email, Password, UserName
from devflow.features.accounts.schemas.people import UserOut


class SignUpIn(Input):
    full_name: str = Field("", max_length=255)
    name: str = Field("", max_length=255, validate_default=True, description="Needed, here or as full_name.")
    email: Email
    password: Password
    username: UserName | None = None
    invite_token: str | None = Field(None, max_length=200)

    @field_validator("name")
    @classmethod
    def _one_name(cls, value: str, info: ValidationInfo) -> str:
        name = value or info.data.get("full_name", "")
        if not name:
            raise ValueError("Write your name.")
        return str(name)


class LoginIn(Input):
    email: str = Field(min_length=1, max_length=254)
    password: str = Field(min_length=1, max_length=1024)
    remember_me: bool = False
    code: str | None = Field(None, max_length=40)


class RefreshIn(Input):
    refresh_token: str = Field("", max_length=4096)


class LogoutIn(Input):
    refresh_token: str | None = None
    all_sessions: bool = False


class TokensOut(Output):
    access_token: str
    refresh_token: str
    token_type: str = "bearer"
    expires_in: int
    user: UserOut


class RegisteredOut(UserOut):
    user_id: str
    confirmation_sent: bool
    access_token: str
    refresh_token: str
    token_type: str = "bearer"
    expires_in: int
    user: UserOut

    @classmethod
    def of(cls, made: Any, *, mail_works: bool) -> RegisteredOut:
        """A new account with its tokens; a letter that nobody could send was not sent."""
        user = UserOut.model_validate(made.user)
        return cls(
            **user.model_dump(), user=user, user_id=user.id, confirmation_sent=mail_works and not user.is_verified,
            access_token=made.access_token, refresh_token=made.refresh_token, expires_in=made.expires_in,
        )  # fmt: skip


class SessionOut(Output):
    id: str
    created_at: Moment
    expires_at: Moment
    ip: str
    agent: str


class OwnSessionOut(Output):
    id: str
    created_at: Moment
    expires_at: Moment
    ip_address: str
    user_agent: str
    current: bool

    @classmethod
    def of(cls, found: Any, *, current: bool) -> OwnSessionOut:
        """A session as its owner sees it."""
        return cls(
            id=found.id, created_at=found.created_at, expires_at=found.expires_at, ip_address=found.ip,
            user_agent=found.agent, current=current,
        )  # fmt: skip


class WhoAmIOut(Output):
    authenticated: bool
    user: UserOut
    session: SessionOut | None
    expires_at: Moment | None
