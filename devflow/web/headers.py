"""What every request gets: an id, a log line without secrets, and headers that keep browsers safe."""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import Any

import orjson
from flask import Flask, Response, g, request
from werkzeug.middleware.proxy_fix import ProxyFix

from devflow.core.clock import iso, now
from devflow.core.ids import new_id
from devflow.core.settings import Settings

access_log = logging.getLogger("devflow.access")
_GOOD_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def init_app(app: Flask, settings: Settings) -> None:
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies, x_proto=settings.trusted_proxies)  # type: ignore[method-assign]
    app.before_request(_begin)
    app.after_request(lambda response: _finish(response, https=settings.public_url.startswith("https://")))
    app.jinja_env.globals["csp_nonce"] = csp_nonce


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if _GOOD_ID.fullmatch(given) else new_id()
    g.began = time.perf_counter()


def csp_nonce() -> str:
    """The nonce of this answer's one inline script."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    nonce: str = g.csp_nonce
    return nonce


def _finish(response: Response, *, https: bool) -> Response:
    headers = response.headers
    headers["X-Request-ID"] = str(getattr(g, "request_id", ""))
    if request.path.startswith("/api"):
        headers["X-API-Version"] = "1.0"
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
    if request.path.startswith(("/static/", "/health")):
        return
    line: dict[str, Any] = {
        "at": iso(now()),
        "method": request.method,
        "path": request.path,  # never the query: it may carry ?token=
        "status": response.status_code,
        "ms": round((time.perf_counter() - g.get("began", time.perf_counter())) * 1000, 1),
        "ip": request.remote_addr,
        "request_id": g.get("request_id"),
    }
    access_log.info(orjson.dumps(line).decode())
