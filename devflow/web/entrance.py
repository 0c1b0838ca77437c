"""What a browser carries while somebody signs in: the device cookie, a half-done sign-in, the way to a provider."""

from __future__ import annotations

import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Response, after_this_request, current_app, request, session

_DEVICE, _HALF, _TRIPS = "devflow_device", "half", "trips"
HALF_SECONDS = 300
"""How long a browser may take for the second factor."""
_TRIPS_KEPT = 4


def device() -> str:
    """The cookie of a device on which somebody has signed in; signed by those who read it, so anything may be in it."""
    return request.cookies.get(_DEVICE, "")[:500]


def keep_device(value: str, seconds: int) -> None:
    """Let the answer to this request leave the device cookie there."""
    if value == device():
        return

    @after_this_request
    def keep(response: Response) -> Response:
        secure = bool(current_app.config["SESSION_COOKIE_SECURE"])
        response.set_cookie(_DEVICE, value, max_age=seconds, secure=secure, httponly=True, samesite="Lax")
        return response


def asked_from_here() -> bool:
    """Was this asked by a page of ours, or by no page at all? Those of others sign no browser in here."""
    origin = request.headers.get("Origin")
    here = origin is None or urlsplit(origin).netloc == request.host
    return here and request.headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none")


@dataclass(frozen=True)
class Half:
    """A sign-in that lacks only the second factor."""

    user_id: str
    remember: bool


def begin_half(user_id: str, *, remember: bool) -> None:
    """Remember, in the signed cookie, that the first half was right."""
    session[_HALF] = [user_id, remember, int(time.time())]


def half() -> Half | None:
    """The half-done sign-in of this browser, unless it took too long."""
    user_id, remember, began = session.get(_HALF, ("", False, 0))
    return Half(user_id, remember) if user_id and 0 <= time.time() - began <= HALF_SECONDS else None


def set_out(binding: str) -> None:
    """Remember that this browser is on its way to a provider."""
    session[_TRIPS] = [*session.get(_TRIPS, []), binding][-_TRIPS_KEPT:]


def came_back(binding: str) -> bool:
    """Did this browser set out with that? Once only."""
    trips = session.get(_TRIPS, [])
    if binding not in trips:
        return False
    session[_TRIPS] = [trip for trip in trips if trip != binding]
    return True
