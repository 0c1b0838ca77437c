"""The long-lived cookie of a device on which somebody has signed in."""

from __future__ import annotations

from flask import Response, after_this_request, current_app, request

_NAME = "devflow_device"


def device() -> str:
    """What this device brought; signed by those who read it, so anything may be in it."""
    return request.cookies.get(_NAME, "")[:500]


def keep_device(value: str, seconds: int) -> None:
    """Let the answer to this request leave the cookie there."""
    if value == device():
        return

    @after_this_request
    def keep(response: Response) -> Response:
        secure = bool(current_app.config["SESSION_COOKIE_SECURE"])
        response.set_cookie(_NAME, value, max_age=seconds, secure=secure, httponly=True, samesite="Lax")
        return response
