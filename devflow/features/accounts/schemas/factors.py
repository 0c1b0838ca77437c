"""Second factors, and proving once more who one is."""

from __future__ import annotations

from pydantic import Field, model_validator

from devflow.core.schema import Input, Lacking, Moment, Output


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
