"""Every code an error can carry, with its status and what it means; the sentence in the answer says more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Meaning(NamedTuple):
    """What a code stands for."""

    status: int
    says: str


CODES: Mapping[str, Meaning] = {
    "BAD_REQUEST": Meaning(400, "The request cannot be read: broken JSON, or an unknown version."),
    "UNAUTHORIZED": Meaning(401, "Not authenticated: the token is missing, wrong, expired or revoked."),
    "AUTHENTICATION_FAILED": Meaning(401, "Invalid credentials provided."),
    "TWO_FACTOR_REQUIRED": Meaning(401, "The password is right; send the second factor as code too."),
    "FORBIDDEN": Meaning(403, "Not authorized to access this resource: your roles do not allow it."),
    "AUTHORIZATION_FAILED": Meaning(403, "You don't have permission to perform this action by this API token."),
    "REAUTHENTICATION_REQUIRED": Meaning(403, "Prove once more who you are (POST /auth/confirm), then try again."),
    "EMAIL_NOT_VERIFIED": Meaning(403, "Confirm your e-mail address first."),
    "NOT_FOUND": Meaning(404, "There is nothing at this address."),
    "RESOURCE_NOT_FOUND": Meaning(404, "The requested resource was not found, or is none of yours."),
    "DEPLOYMENT_NOT_FOUND": Meaning(404, "The deployment was not found, or is none of yours."),
    "METHOD_NOT_ALLOWED": Meaning(405, "This address does not answer that method; Allow names those it answers."),
    "CONFLICT": Meaning(409, "There is one already, or something else stands in the way."),
    "INVALID_STATE": Meaning(409, "Its state does not allow this now."),
    "DEPLOYMENT_IN_PROGRESS": Meaning(409, "Another deployment is already in progress."),
    "CANCELLED": Meaning(409, "Somebody stopped it."),
    "PAYLOAD_TOO_LARGE": Meaning(413, "The request is larger than this server accepts."),
    "VALIDATION_ERROR": Meaning(422, "The provided data failed validation; details.errors names every field."),
    "INVALID_REPOSITORY": Meaning(422, "The repository URL is invalid or inaccessible."),
    "BUILD_FAILED": Meaning(422, "The build process failed; details.cause is a word for programs."),
    "RATE_LIMIT_EXCEEDED": Meaning(429, "API rate limit exceeded; Retry-After says for how many seconds."),
    "INTERNAL_SERVER_ERROR": Meaning(500, "Something broke inside DevFlow; the request id helps to find it."),
    "EXTERNAL_SERVICE_ERROR": Meaning(503, "An external service is unavailable, or is not set up here."),
    "SERVICE_UNAVAILABLE": Meaning(503, "DevFlow, or something it stands on, does not answer now."),
}
