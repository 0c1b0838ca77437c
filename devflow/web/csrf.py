"""Forged requests: every change made with a cookie needs the token; programs with a bearer do not."""

from __future__ import annotations

from flask import Flask, current_app, request
from flask_wtf.csrf import CSRFError, CSRFProtect

from devflow.core.access import OPEN
from devflow.core.errors import Forbidden
from devflow.web.identity import by_cookie, visitor

csrf = CSRFProtect()
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def init_app(app: Flask) -> None:
    app.config["WTF_CSRF_CHECK_DEFAULT"] = False
    app.config["WTF_CSRF_TIME_LIMIT"] = None  # as long as the session
    csrf.init_app(app)
    app.before_request(_protect)


def _is_open() -> bool:
    case = getattr(current_app.view_functions[request.endpoint or ""], "calls", None)
    return getattr(case, "permission", None) in OPEN


def _protect() -> None:
    if request.method in _SAFE or request.endpoint is None:
        return
    if request.path.startswith("/api/") and (not by_cookie() or visitor() is None):
        return  # a bearer is not sent by a browser on its own; without a session there is nothing to forge
    if request.path.startswith("/api/") and _is_open():
        return  # what anybody may ask is not asked with the cookie
    try:
        csrf.protect()
    except CSRFError as error:
        raise Forbidden("This form is too old or was not opened here. Reload the page and try again.") from error
