"""What all operations of the document share: envelope, errors, headers, limits, and the words that explain them."""

from __future__ import annotations

from typing import Any

from devflow.core.codes import CODES
from devflow.web.api import PREFIXES
from devflow.web.limits import Group
from devflow.web.versions import VERSION

INFO: dict[str, Any] = {
    "title": "DevFlow",
    "version": VERSION,
    "license": {"name": "MIT", "identifier": "MIT"},
    "description": f"""Everything the pages do, as JSON.

**Signing in.** `POST {PREFIXES[0]}/auth/login` answers an access token; send it as `Authorization: Bearer …`. An
API token (`dvf_…`) goes into the same header and does what its scopes and its owner's rights allow. Browsers use the
session cookie, and send the token of a form as `X-CSRFToken` with every change.

**Answers.** `{{"success": true, "data": …, "message"?, "meta"}}`; errors are
`{{"success": false, "error": {{"code", "message", "status_code", "details"}}, "meta"}}`. Refusals come in the order
401, 403, 400 or 422, 404, 409.

**Names.** Fields and parameters are snake_case; camelCase is understood. `PUT` and `PATCH` both change only
what is sent.

**Lists.** `page` with `per_page` or `limit`, or `offset` with `limit`; `offset` wins. `meta.pagination` tells
the rest.

**Creating twice.** A creation sent again with the same `Idempotency-Key` within 24 hours answers what it
answered first.

**Limits.** `X-RateLimit-Limit`, `-Remaining` and `-Reset` (Unix time) tell the tightest one; 429 carries
`Retry-After`.

**Versions.** `X-API-Version: {VERSION}` may be sent and is always answered. What will go is announced at least six
months before by `Deprecation`, `Sunset` and `Link`.""",
}

LIMITS: dict[Group, str] = {
    "credentials": "Limited to a few calls a minute for each address.",
    "sensitive": "A sensitive operation: limited to a few calls a minute for each user.",
    "tokens": "Limited to a few tokens a minute for each user.",
}

PATH = {
    "project_id": "Id or slug of the project.",
    "deployment_id": "Id of the deployment.",
    "name": "Name, as the list tells it.",
    "token": "The token from the link in the mail.",
}
"""What the variables of addresses stand for, where their name does not say it."""

QUERY = {"page": "Number of the page, from 1.", "limit": "Items on a page.", "per_page": "The same as limit."}

_CODES: dict[int, tuple[str, str, str]] = {
    400: ("Unreadable", "BAD_REQUEST", "The body is not readable JSON."),
    401: ("Nobody is signed in, or the credentials are wrong", "UNAUTHORIZED", "Sign in first."),
    403: ("Not allowed", "FORBIDDEN", "You need the permission projects:update for this."),
    404: ("Not there, or not for you to know", "RESOURCE_NOT_FOUND", "There is no such project."),
    409: ("Exists already, or its state does not allow this", "CONFLICT", "This name is taken. Choose another one."),
    413: ("Too large", "PAYLOAD_TOO_LARGE", "The request is larger than this server accepts."),
    422: ("Fields that cannot be accepted", "VALIDATION_ERROR", "Check port."),
    429: ("Too many requests", "RATE_LIMIT_EXCEEDED", "Too many requests. Try again in 42 s."),
    501: ("Not offered", "NOT_IMPLEMENTED", "This is not offered here."),
    502: ("Something outside answered wrongly", "EXTERNAL_SERVICE_ERROR", "GitHub answered with an error."),
    503: ("Something needed does not answer", "SERVICE_UNAVAILABLE", "The database does not answer. Try again soon."),
    507: ("No room left", "INSUFFICIENT_STORAGE", "The disk is full."),
}


def _text(says: str, **more: Any) -> dict[str, Any]:
    return {"description": says, "schema": {"type": "string", **more}}


def _whole(says: str) -> dict[str, Any]:
    return {"description": says, "schema": {"type": "integer"}}


def _meta_example() -> dict[str, Any]:
    return {"timestamp": "2026-01-31T12:00:00.000Z", "version": VERSION, "request_id": "01935f2e7c0b7d4a"}


_COUNTS = (
    "total", "total_items", "count", "page", "current_page", "per_page", "limit", "offset", "last_page", "total_pages",
)  # fmt: skip

SCHEMAS: dict[str, Any] = {
    "Meta": {
        "type": "object",
        "required": ["timestamp", "version", "request_id"],
        "properties": {
            "timestamp": {"type": "string", "format": "date-time"},
            "version": {"type": "string", "const": VERSION},
            "request_id": {"type": "string"},
        },
    },
    "Pagination": {
        "type": "object",
        "properties": {
            **{name: {"type": ["integer", "null"]} for name in _COUNTS},
            "total_is_capped": {"type": "boolean", "description": "There are more than were counted."},
            "has_more": {"type": "boolean"},
        },
        "required": ["count", "has_more"],
    },
    "Error": {
        "type": "object",
        "required": ["success", "error", "meta"],
        "properties": {
            "success": {"type": "boolean", "const": False},
            "error": {
                "type": "object",
                "required": ["code", "message", "status_code", "details"],
                "properties": {
                    "code": {
                        "type": "string",
                        "enum": sorted(CODES),
                        "description": "For programs.",
                        "x-meanings": [{"code": code, "status": m.status, "says": m.says} for code, m in CODES.items()],
                    },
                    "message": {"type": "string", "description": "A sentence for a person."},
                    "status_code": {"type": "integer"},
                    "details": {
                        "type": "object",
                        "description": "`aliases`: other words for the code; `errors`: what is wrong with which field.",
                    },
                },
            },
            "meta": {"$ref": "#/components/schemas/Meta"},
        },
    },
}

_SHOWN = ("RequestId", "ApiVersion", "RateLimitLimit", "RateLimitRemaining", "RateLimitReset")
_NAMES = ("X-Request-ID", "X-API-Version", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
HEADERS: dict[str, Any] = {
    name: {"$ref": f"#/components/headers/{shown}"} for name, shown in zip(_NAMES, _SHOWN, strict=True)
}
"""What every answer carries."""


def envelope(data: dict[str, Any], *, paged: bool = False) -> dict[str, Any]:
    """The shape of an answer around its data."""
    meta: dict[str, Any] = {"$ref": "#/components/schemas/Meta"}
    if paged:
        pagination = {"$ref": "#/components/schemas/Pagination"}
        page = {"type": "object", "required": ["pagination"], "properties": {"pagination": pagination}}
        meta = {"allOf": [meta, page]}
    return {
        "type": "object",
        "required": ["success", "data", "meta"],
        "properties": {
            "success": {"type": "boolean", "const": True},
            "data": data,
            "message": {"type": "string", "description": "For people, where there is something to say."},
            "meta": meta,
        },
    }


def error_response(status: int) -> dict[str, Any]:
    """The answer of a refusal with this status."""
    return {"$ref": f"#/components/responses/Error{status}"}


def _error(status: int) -> dict[str, Any]:
    says, code, message = _CODES[status]
    details: dict[str, Any] = {"errors": [{"field": "port", "message": "At most 65535."}]} if status == 422 else {}
    error = {"code": code, "message": message, "status_code": status, "details": details}
    retry = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}} if status == 429 else {}
    return {
        "description": f"{says}.",
        "headers": {**HEADERS, **retry},
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Error"},
                "example": {"success": False, "error": error, "meta": _meta_example()},
            }
        },
    }


COMPONENTS: dict[str, Any] = {
    "responses": {f"Error{status}": _error(status) for status in _CODES},
    "headers": {
        "RequestId": _text("Id of this request, also in meta and in the log."),
        "ApiVersion": _text("The version answered.", const=VERSION),
        "RateLimitLimit": _whole("Requests allowed by the tightest limit."),
        "RateLimitRemaining": _whole("Requests left of it."),
        "RateLimitReset": _whole("When it starts again, as Unix time."),
        "RetryAfter": _whole("Seconds to wait."),
        "IdempotencyReplayed": _text("`true` when this is the answer to an earlier request with the same key."),
        "Deprecation": _text("Since when the end is known (RFC 9745)."),
        "Sunset": _text("When it goes (RFC 8594)."),
        "Link": _text("Where the way out is described."),
    },
    "parameters": {
        "ApiVersion": {
            "name": "X-API-Version",
            "in": "header",
            "description": "The version you speak. Another one is refused with 400.",
            "schema": {"type": "string", "enum": ["1.0", "1"]},
        },
        "RequestId": {
            "name": "X-Request-ID",
            "in": "header",
            "description": "An id of your own: 8 to 64 letters, digits, dots and lines. Else one is made.",
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{8,64}$"},
        },
        "TeamId": {
            "name": "X-Team-Id",
            "in": "header",
            "description": "The team meant, where neither body nor query names one. Without it: your own.",
            "schema": {"type": "string", "maxLength": 36},
        },
        "IdempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": (
                "Makes a creation safe to repeat for 24 hours: the same key and request answer the same again, with "
                "`Idempotency-Replayed: true`. 409 while the first is under way, 422 for another request."
            ),
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        },
    },
    "securitySchemes": {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT or dvf_…",
            "description": "An access token from signing in, or an API token; `x-scope` names the scope it needs.",
        },
        "cookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": "devflow",
            "description": "The session of a browser. Changes also need the header X-CSRFToken.",
        },
    },
}
