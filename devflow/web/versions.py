"""Which version of the API is spoken, and which operations are on their way out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from flask import Flask, Response, current_app, request
from werkzeug.http import http_date

from devflow.core.errors import BadRequest

VERSION = "1.0"
HEADER = "X-API-Version"
KNOWN = ("1.0", "1")
"""What a client may ask for; both are the version spoken."""


@dataclass(frozen=True)
class Deprecation:
    """An operation that will go: since when that is known, when it goes, and where the way out is described.

    Told in the headers Deprecation (RFC 9745), Sunset (RFC 8594) and Link, and in the document.
    """

    since: date
    sunset: date
    link: str

    def headers(self) -> dict[str, str]:
        since = int(datetime.combine(self.since, time(), UTC).timestamp())
        return {
            "Deprecation": f"@{since}",
            "Sunset": http_date(datetime.combine(self.sunset, time(), UTC)),
            "Link": f'<{self.link}>; rel="deprecation"; type="text/html"',
        }


def init_app(app: Flask) -> None:
    app.before_request(_check)
    app.after_request(_tell)


def deprecation_of(view: Callable[..., Any] | None) -> Deprecation | None:
    """What was said about a view's end, if anything."""
    found = getattr(view, "deprecated", None)
    return found if isinstance(found, Deprecation) else None


def _of_api() -> bool:
    return request.path.startswith("/api/") or request.path == "/api"


def _check() -> None:
    asked = request.headers.get(HEADER)
    if asked is not None and _of_api() and asked.strip() not in KNOWN:
        raise BadRequest(f"This server speaks version {VERSION} of the API. Leave {HEADER} out, or send {VERSION}.")


def _tell(response: Response) -> Response:
    if not _of_api():
        return response
    response.headers[HEADER] = VERSION
    ending = deprecation_of(current_app.view_functions.get(request.endpoint or ""))
    if ending is not None:
        response.headers.update(ending.headers())
    return response
