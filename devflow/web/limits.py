"""How often: limits by group of routes (conflicts.md C46 to C53), told in the X-RateLimit-* headers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from flask import Flask, current_app, request
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter, RateLimitExceeded
from flask_limiter.util import get_remote_address

from devflow.core.errors import TooMany
from devflow.core.settings import Settings
from devflow.web.faults import told
from devflow.web.identity import visitor

View = TypeVar("View", bound=Callable[..., Any])
_NEVER = ("/static/", "/health", "/api/health", "/api/v1/health")
_AUTH = "DEVFLOW_AUTH_LIMIT"


def _caller() -> str:
    found = visitor()
    return f"user:{found.actor.id}" if found else f"ip:{get_remote_address()}"


limiter = Limiter(key_func=_caller, headers_enabled=True, strategy="fixed-window")


def credentials(view: View) -> View:
    """For routes that take credentials: few tries a minute for one address, whichever door it tries."""
    name = view.__name__
    limited: Any = limiter.shared_limit(
        lambda: current_app.config[_AUTH], scope=name, key_func=get_remote_address, methods=["POST"]
    )(view)
    return cast(View, limited)


def init_app(app: Flask, settings: Settings) -> None:
    app.config[_AUTH] = f"{settings.auth_limit_per_minute} per minute"
    app.config["RATELIMIT_STORAGE_URI"] = settings.redis_url or "memory://"
    app.config["RATELIMIT_APPLICATION"] = f"{settings.rate_limit_per_minute} per minute"
    app.config["RATELIMIT_IN_MEMORY_FALLBACK_ENABLED"] = True
    app.config["RATELIMIT_SWALLOW_ERRORS"] = True
    app.config["RATELIMIT_KEY_PREFIX"] = "devflow-fixed"
    limiter.init_app(app)
    limiter.request_filter(lambda: not request.path.startswith("/api/") and request.method == "GET")
    limiter.request_filter(lambda: request.path.startswith(_NEVER))
    app.register_error_handler(RateLimitExceeded, _refuse)


def _refuse(_error: RateLimitExceeded) -> ResponseReturnValue:
    seconds = 60
    current = limiter.current_limit
    if current is not None:
        seconds = max(1, int(current.reset_at - time.time()))
    return told(TooMany(f"Too many requests. Try again in {seconds} s.", seconds))
