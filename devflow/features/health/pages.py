"""Plain routes for load balancers and people who ask whether DevFlow is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from flask import Blueprint, Flask, Response, current_app
from sqlalchemy import text

from devflow.core.clock import iso, now
from devflow.core.db import db
from devflow.core.jobs import Jobs
from devflow.core.settings import Settings
from devflow.features.health.service import Check, Checks
from devflow.ports.logs import Logs
from devflow.web import limits
from devflow.web.envelope import failure, success
from devflow.web.ports import port
from devflow.web.versions import KNOWN, VERSION

bp = Blueprint("health", __name__)
_began = time.monotonic()
_checks = Checks()


def _everywhere(path: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """The same answer at the root and under both API prefixes (conflicts.md C21)."""

    def register(view: Callable[[], Any]) -> Callable[[], Any]:
        for prefix in ("", "/api", "/api/v1"):
            bp.add_url_rule(prefix + path, f"{view.__name__}{prefix.replace('/', '_')}", view)
        return view

    return register


@_everywhere("/health")
def health() -> Response:
    """The service with its version."""
    return success(
        {
            "status": "healthy",
            "version": version("devflow"),
            "environment": port(Settings).environment,
            "timestamp": iso(now()),
            "uptime_seconds": round(time.monotonic() - _began, 1),
        }
    )


@_everywhere("/health/live")
def live() -> Response:
    """This process answers; nothing else is asked."""
    return success({"status": "alive", "timestamp": iso(now())})


@_everywhere("/health/ready")
def ready() -> Response:
    """Database, queue, logs and cache answer within two seconds; 503 when one does not."""
    checks = _checks.run(_needed())
    down = [name for name, check in checks.items() if check["status"] != "ok"]
    if down:
        sentence = f"DevFlow is not ready: no answer from {' and '.join(down)}."
        return failure(503, "SERVICE_UNAVAILABLE", sentence, {"status": "not_ready", "checks": checks})
    return success({"status": "ready", "checks": checks, "timestamp": iso(now())})


def _needed() -> dict[str, Check]:
    """What requests cannot do without."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    queues, logs, counter = port(Jobs).queues, port(Logs), limits.counter()

    def database() -> None:
        with app.app_context(), db.engine.connect() as connection:
            connection.execute(text("select 1"))

    needed: dict[str, Check] = {
        "database": database,
        "queue": queues.ping,
        "logs": lambda: logs.last_seq("health"),
    }
    if counter.is_shared:
        needed["cache"] = counter.ping
    return needed


@bp.get("/api/v1/info", endpoint="info_v1")
@bp.get("/api/info", endpoint="info")
def info() -> Response:
    """What this is, in which version, and where it is described."""
    site = port(Settings).public_url
    return success(
        {
            "name": "DevFlow",
            "description": "Self-hosted developer platform",
            "version": version("devflow"),
            "api_version": VERSION,
            "supported_versions": list(KNOWN),
            "environment": port(Settings).environment,
            "documentation": f"{site}/docs",
            "documentation_url": f"{site}/docs",
            "openapi_url": f"{site}/api/v1/openapi.json",
            "status_url": f"{site}/health",
            "timestamp": iso(now()),
        }
    )
