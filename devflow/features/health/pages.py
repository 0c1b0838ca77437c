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
from devflow.core.schema import Output
from devflow.core.settings import Settings
from devflow.features.health.service import Check, Checks
from devflow.ports.logs import Logs
from devflow.web import limits
from devflow.web.api import described, operation_of
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


class HealthOut(Output):
    status: str
    version: str
    environment: str
    timestamp: str
    uptime_seconds: float


class LiveOut(Output):
    status: str
    timestamp: str


class ReadyOut(Output):
    status: str
    checks: dict[str, dict[str, Any]]
    timestamp: str


class InfoOut(Output):
    name: str
    description: str
    version: str
    api_version: str
    supported_versions: list[str]
    environment: str
    documentation: str
    documentation_url: str
    openapi_url: str
    status_url: str
    features: list[str]
    timestamp: str


@_everywhere("/health")
@described("health", HealthOut, (400, 503))
def health() -> Response:
    """The service with its version; 503 when something it cannot do without does not answer."""
    checks = _checks.run(_needed())
    if not _good(checks):
        return _refused("unhealthy", "healthy", checks)
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
@described("health", LiveOut, (400,))
def live() -> Response:
    """This process answers; nothing else is asked."""
    return success({"status": "alive", "timestamp": iso(now())})


@_everywhere("/health/ready")
@described("health", ReadyOut, (400, 503))
def ready() -> Response:
    """Database, queue, logs and cache answer within two seconds; 503 when one does not."""
    checks = _checks.run(_needed())
    if not _good(checks):
        return _refused("not_ready", "ready", checks)
    return success({"status": "ready", "checks": checks, "timestamp": iso(now())})


Found = dict[str, dict[str, Any]]


def _good(checks: Found) -> bool:
    return all(check["status"] == "ok" for check in checks.values())


def _refused(status: str, wanted: str, checks: Found) -> Response:
    down = [name for name, check in checks.items() if check["status"] != "ok"]
    sentence = f"DevFlow is not {wanted}: no answer from {' and '.join(down)}."
    return failure(503, "SERVICE_UNAVAILABLE", sentence, {"status": status, "checks": checks})


def _needed() -> dict[str, Check]:
    """What requests cannot do without."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    queues, logs, counter = port(Jobs).queues, port(Logs), limits.counter()

    def database() -> None:
        with app.app_context(), db.engine.connect() as connection:
            connection.execute(text("select 1"))

    return {
        "database": database,
        "queue": queues.ping,
        "logs": lambda: logs.last_seq("health"),
        "cache": counter.ping,
    }


@bp.get("/api/v1/info", endpoint="info_v1")
@bp.get("/api/info", endpoint="info")
@described("health", InfoOut, (400, 429, 503))
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
            "features": _features(),
            "timestamp": iso(now()),
        }
    )


def _features() -> list[str]:
    """What this installation answers about: the groups of the API."""
    views = current_app.view_functions.values()
    return sorted({facts.tag for view in views if (facts := operation_of(view)) is not None})
