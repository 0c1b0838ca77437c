"""What comes in and goes out about people."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from devflow.core.paging import ListQuery
from devflow.core.schema import Input, Moment, Output

_EMAIL = re.compile(r"[^@\s<>\"',;:\\()\[\]]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")


def email_address(value: str) -> str:
    """An address in one spelling, so that two spellings cannot be two people."""
    plain = unicodedata.normalize("NFKC", value).strip().lower()
    domain = plain.rpartition("@")[2]
    if len(plain) > 254 or not _EMAIL.fullmatch(plain) or not plain.isascii() or ".." in plain or "." not in domain:
        raise ValueError("Write an e-mail address such as ada@example.com.")
    return plain


Email = Annotated[str, AfterValidator(email_address)]
Password = Annotated[str, Field(min_length=8, max_length=1024)]


class SignUpIn(Input):
    name: str = Field("", max_length=255)
    full_name: str = Field("", max_length=255)
    email: Email
    password: Password
    username: str | None = Field(None, min_length=2, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    invite_token: str | None = Field(None, max_length=200)

    @model_validator(mode="after")
    def _one_name(self) -> SignUpIn:
        self.name = self.full_name = self.name or self.full_name
        if not self.name:
            raise ValueError("Write your name.")
        return self


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


class ProfilePatch(Input):
    name: str | None = Field(None, min_length=1, max_length=255)
    full_name: str | None = Field(None, min_length=1, max_length=255)
    username: str | None = Field(None, min_length=2, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


class PreferencesPatch(Input):
    theme: str | None = Field(None, pattern="^(light|dark|system)$")
    email_notifications: bool | None = None
    deployment_success_notifications: bool | None = None
    deployment_failure_notifications: bool | None = None


class PreferencesOut(Output):
    theme: str = "system"
    email_notifications: bool = True
    deployment_success_notifications: bool = True
    deployment_failure_notifications: bool = True
    updated_at: Moment | None = None


class UserOut(Output):
    id: str
    username: str
    email: str
    name: str
    full_name: str
    role: str
    is_active: bool
    is_verified: bool
    email_verified: bool
    avatar_url: str | None
    subscription_plan: str
    created_at: Moment
    updated_at: Moment
    last_login: Moment | None


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
    token_type: str
    expires_in: int
    user: UserOut

    @model_validator(mode="before")
    @classmethod
    def _from_tokens(cls, tokens: Any) -> Any:
        user = UserOut.model_validate(tokens.user).model_dump()
        return {
            **user, "user": user, "user_id": user["id"], "confirmation_sent": False,
            "access_token": tokens.access_token, "refresh_token": tokens.refresh_token,
            "token_type": "bearer", "expires_in": tokens.expires_in,
        }  # fmt: skip


class SessionOut(Output):
    id: str
    created_at: Moment
    expires_at: Moment
    ip: str
    agent: str


class WhoAmIOut(Output):
    authenticated: bool
    user: UserOut
    session: SessionOut | None
    expires_at: Moment | None


SystemRole = Literal["user", "approver", "admin", "master_admin"]


class UserQuery(ListQuery):
    role: SystemRole | None = None
    search: str = Field("", max_length=254)
    is_active: bool | None = None


class UserPatch(Input):
    is_active: bool


class UserRole(Input):
    role: SystemRole


class PersonOut(Output):
    """As much of an account as colleagues see."""

    id: str
    full_name: str
    avatar_url: str | None
    role: str
