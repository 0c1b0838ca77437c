"""What comes in and goes out about people."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from devflow.core.paging import ListQuery
from devflow.core.schema import Input, Lacking, Moment, Output, written

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
USER_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
UserName = Annotated[
    str,
    Field(min_length=2, max_length=64, json_schema_extra={"pattern": USER_NAME}),
    AfterValidator(written(USER_NAME, "Letters, digits, dots, dashes and underscores, a letter or digit first.")),
]


AVATAR = r"^https://[^\s/]+\S*$"
AvatarAddress = Annotated[
    str,
    Field(max_length=2000, json_schema_extra={"pattern": AVATAR}),
    AfterValidator(written(AVATAR, "An address that begins with https://.")),
]


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


class ConfirmIn(Input):
    password: str | None = Field(None, min_length=1, max_length=1024)
    code: str | None = Field(None, min_length=1, max_length=40)

    @model_validator(mode="after")
    def _one_of_both(self) -> ConfirmIn:
        if not self.password and not self.code:
            raise Lacking("Send your password or a code.", "password", "code")
        return self


class ConfirmedOut(Output):
    proved_at: Moment


class CodeIn(Input):
    code: str = Field(min_length=1, max_length=40)


class FactorStateOut(Output):
    enabled: bool
    confirmed_at: Moment | None
    recovery_codes_left: int
    methods: list[str]


class FactorSetupOut(Output):
    secret: str
    uri: str
    qr: str


class RecoveryCodesOut(Output):
    recovery_codes: list[str]


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


class LogoutIn(Input):
    refresh_token: str | None = None
    all_sessions: bool = False


class ProfilePatch(Input):
    name: str | None = Field(None, min_length=1, max_length=255)
    full_name: str | None = Field(None, min_length=1, max_length=255)
    username: UserName | None = None
    avatar_url: AvatarAddress | None = Field(None, description="An https address; null removes it.")


class VerifyIn(Input):
    token: str = Field(min_length=1, max_length=200)


class ForgotIn(Input):
    email: Email


class ResetIn(Input):
    """Token and new password; or the address alone, which asks for the link (conflicts.md C32)."""

    token: str | None = Field(None, min_length=1, max_length=200)
    password: Password | None = None
    new_password: Password | None = Field(None, description="The same as password.")
    email: Email | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> ResetIn:
        self.password = self.new_password = self.password or self.new_password
        if self.token is None and self.password is None and self.email is not None:
            return self
        lacking = [name for name in ("token", "password") if getattr(self, name) is None]
        if lacking:
            raise Lacking("Send token and password, or the e-mail address alone.", *lacking)
        return self


class ResetForm(Input):
    token: str = Field("", max_length=200)
    password: Password
    repeat: str = Field(max_length=1024)

    @field_validator("repeat")
    @classmethod
    def _equal(cls, value: str, info: ValidationInfo) -> str:
        return same_password(value, info)


def same_password(value: str, info: ValidationInfo) -> str:
    """The repeat of a form's `password`."""
    if "password" in info.data and value != info.data["password"]:
        raise ValueError("This is not the same password.")
    return value


class PasswordIn(Input):
    current_password: str = Field(min_length=1, max_length=1024)
    new_password: Password


class PasswordForm(Input):
    current_password: str = Field(min_length=1, max_length=1024)
    password: Password
    repeat: str = Field(max_length=1024)

    @field_validator("repeat")
    @classmethod
    def _equal(cls, value: str, info: ValidationInfo) -> str:
        return same_password(value, info)


class VerifiedOut(Output):
    email: str
    is_verified: bool


class ConfirmationOut(Output):
    confirmation_sent: bool


class LinkSentOut(Output):
    email_sent: bool


class PreferencesPatch(Input):
    theme: Literal["light", "dark", "system"] | None = None
    email_notifications: bool | None = None
    deployment_success_notifications: bool | None = None
    deployment_failure_notifications: bool | None = None
    email_ticket_assigned: bool | None = None
    email_sla_breach: bool | None = None
    in_app_comments: bool | None = None


class PreferencesOut(Output):
    theme: str = "system"
    email_notifications: bool = True
    deployment_success_notifications: bool = True
    deployment_failure_notifications: bool = True
    email_ticket_assigned: bool = True
    email_sla_breach: bool = True
    in_app_comments: bool = True
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
    github_connected: bool
    created_at: Moment
    updated_at: Moment
    last_login: Moment | None


class MeOut(UserOut):
    roles: list[str]
    permissions: list[str]


class TokensOut(Output):
    access_token: str
    refresh_token: str
    token_type: str = "bearer"
    expires_in: int
    user: UserOut


class ArrivalOut(TokensOut):
    is_new_user: bool


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


SystemRole = Literal["user", "approver", "admin", "master_admin"]


class UserQuery(ListQuery):
    role: SystemRole | None = None
    search: str = Field("", max_length=254)
    is_active: bool | None = None


class AssignableQuery(ListQuery):
    default_limit: ClassVar[int] = 50

    role: SystemRole | None = None
    search: str = Field("", max_length=254)


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
