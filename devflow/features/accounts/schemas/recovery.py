"""Confirming an address, recovering and changing a password."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator, model_validator

from devflow.core.schema import Input, Lacking, Output
from devflow.features.accounts.schemas.fields import Email, Password


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


class TypedTwice(Input):
    """A new password as forms ask for it."""

    password: Password
    repeat: str = Field(max_length=1024)

    @field_validator("repeat")
    @classmethod
    def _equal(cls, value: str, info: ValidationInfo) -> str:
        if "password" in info.data and value != info.data["password"]:
            raise ValueError("This is not the same password.")
        return value


class ResetForm(TypedTwice):
    token: str = Field("", max_length=200)


class PasswordIn(Input):
    current_password: str = Field(min_length=1, max_length=1024)
    new_password: Password


class PasswordForm(TypedTwice):
    current_password: str = Field(min_length=1, max_length=1024)


class VerifiedOut(Output):
    email: str
    is_verified: bool


class ConfirmationOut(Output):
    confirmation_sent: bool


class LinkSentOut(Output):
    email_sent: bool
