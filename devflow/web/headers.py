"""What every request gets: an id, a log line without secrets, and headers that keep browsers safe."""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import Any

from flask import Flask, Response, g, has_request_context, request
from werkzeug.middleware.proxy_fix import ProxyFix

from devflow.core import journal
from devflow.core.errors import NotFound
from devflow.core.ids import new_id
from devflow.core.settings import Settings
from devflow.web import bodies
from devflow.web.identity import recognised

access_log = logging.getLogger("devflow.access")
access_log.setLevel(logging.INFO)
_GOOD_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_SECRET = re.compile(r"token|code|key")
"""Names of path parameters whose values are secrets."""


def init_app(app: Flask, settings: Settings) -> None:
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies, x_proto=settings.trusted_proxies)  # type: ignore[method-assign]
    app.wsgi_app = bodies.taken(app.wsgi_app)  # type: ignore[method-assign]
    app.before_request(_begin)
    app.after_request(lambda response: _finish(response, https=settings.public_url.startswith("https://")))
    app.jinja_env.globals["csp_nonce"] = csp_nonce


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if _GOOD_ID.fullmatch(given) else new_id()
    g.began = time.perf_counter()
    if "\x00" in request.path:  # no name has one, and PostgreSQL would not even look
        raise NotFound("There is nothing at this address.", code="NOT_FOUND")


def csp_nonce() -> str:
    """The nonce of this answer's one inline script."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    nonce: str = g.csp_nonce
    return nonce


def log_context() -> dict[str, Any]:
    """What a log line says about the request it belongs to."""
    return {"request_id": g.get("request_id")} if has_request_context() else {}


def shown_path() -> str:
    """The address as it may be written down: without the query, and without secrets that stand in the path."""
    if request.url_rule is None:  # nothing here knows what it may hold
        return "/".join(request.path[:500].split("/")[:3])
    if any(_SECRET.search(name) for name in request.view_args or {}):
        return request.url_rule.rule
    return request.path[:500]


def _finish(response: Response, *, https: bool) -> Response:
    headers = response.headers
    headers["X-Request-ID"] = str(getattr(g, "request_id", ""))
    if request.path.startswith("/api"):
        headers.setdefault("Cache-Control", "no-store")
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("X-Frame-Options", "DENY")
    headers.setdefault("Referrer-Policy", "strict-origin-when-cross-origin")
    headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    headers.setdefault("Content-Security-Policy", _policy())
    if https:
        headers.setdefault("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
    _log(response)
    return response


def _policy() -> str:
    nonce = g.get("csp_nonce")
    allowed = f"'self' 'nonce-{nonce}'" if nonce else "'self'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src {allowed}; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def _log(response: Response) -> None:
    if response.status_code < 400 and (request.endpoint or "").startswith(("static", "health.")):
        return  # probes and pictures, asked every few seconds
    who = recognised()
    line: dict[str, Any] = {
        "method": request.method,
        "route": request.url_rule.rule if request.url_rule else None,
        "path": shown_path(),  # never the query: it may carry ?token=
        "status": response.status_code,
        "ms": round((time.perf_counter() - g.get("began", time.perf_counter())) * 1000, 1),
        "bytes": None if response.is_streamed else response.calculate_content_length(),
        "ip": request.remote_addr,
        "user_id": who.id if who else None,
        "token_id": who.token_id if who else None,
        "request_id": g.get("request_id"),
    }
    access_log.info("", extra={journal.FIELDS: line})
