"""The few errors the house raises; each carries a sentence for a person.

`web/faults.py` alone turns them into JSON, a toast or a page.
"""

from __future__ import annotations

from typing import Any, ClassVar


class DomainError(Exception):
    """An outcome the caller must hear about: `message` for people, `code` and `status` for programs."""

    code: ClassVar[str] = "INTERNAL_SERVER_ERROR"
    status: ClassVar[int] = 500
    aliases: ClassVar[tuple[str, ...]] = ()

    def __init__(self, message: str, *, code: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.error_code = code or self.code


class BadRequest(DomainError):
    """The request cannot be read at all (broken JSON, unknown version)."""

    code, status = "BAD_REQUEST", 400


class Unauthenticated(DomainError):
    """Nobody is signed in, or the credentials are wrong."""

    code, status = "UNAUTHORIZED", 401


class Forbidden(DomainError):
    """Signed in, but not allowed: a role too low (FORBIDDEN), or a token without the scope (AUTHORIZATION_FAILED)."""

    code, status = "FORBIDDEN", 403
    aliases = ("AUTHORIZATION_FAILED", "FORBIDDEN")


class Stale(DomainError):
    """Signed in and allowed, but too long ago for something dangerous: password or code once more."""

    code, status = "REAUTHENTICATION_REQUIRED", 403


class NotFound(DomainError):
    """No such thing, or none the caller may know about."""

    code, status = "RESOURCE_NOT_FOUND", 404
    aliases = ("NOT_FOUND",)


class Conflict(DomainError):
    """The thing exists already, or its state does not allow this."""

    code, status = "CONFLICT", 409


class Invalid(DomainError):
    """Fields that were read but cannot be accepted; `fields` names them."""

    code, status = "VALIDATION_ERROR", 422
    aliases = ("VALIDATION_FAILED",)

    def __init__(self, message: str, fields: dict[str, list[str]] | None = None, *, code: str | None = None) -> None:
        self.fields = fields or {}
        errors = [{"field": name, "message": text} for name, texts in self.fields.items() for text in texts]
        super().__init__(message, code=code, errors=errors)


class TooMany(DomainError):
    """A rate limit is reached; `retry_after` is in seconds."""

    code, status = "RATE_LIMIT_EXCEEDED", 429

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message, retry_after=retry_after)
        self.retry_after = retry_after


class Unavailable(DomainError):
    """Something outside does not answer now; trying again may help."""

    code, status = "SERVICE_UNAVAILABLE", 503


class Cancelled(DomainError):
    """Work was stopped because a person asked for it."""

    code, status = "CANCELLED", 409


class StepFailed(DomainError):
    """A step of a build or a release failed for good.

    `cause` is a stable word for programs (`crash_loop`, `wrong_port` …), `message` the sentence for people,
    `hint` what to do next.
    """

    code, status = "BUILD_FAILED", 422

    def __init__(self, message: str, *, cause: str, hint: str = "") -> None:
        super().__init__(message, cause=cause, hint=hint)
        self.cause = cause
        self.hint = hint
