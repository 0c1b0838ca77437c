"""Plain routes for load balancers and people who ask whether DevFlow is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify
from sqlalchemy import text

from devflow.core.clock import iso, now
from devflow.core.db import db
from devflow.core.jobs import Jobs
from devflow.core.settings import Settings
from devflow.web.envelope import success
from devflow.web.ports import port

bp = Blueprint("health", __name__)
_began = time.monotonic()


def _everywhere(path: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """The same answer at the root and under both API prefixes (conflicts.md C21)."""

    def register(view: Callable[[], Any]) -> Callable[[], Any]:
        for prefix in ("", "/api", "/api/v1"):
            bp.add_url_rule(prefix + path, f"{view.__name__}{prefix.replace('/', '_')}", view)
        return view

    return register


@_everywhere("/health")
def health() -> Response:
    settings = port(Settings)
    return success(
        {
            "status": "healthy",
            "version": "1.0.0",
            "environment": settings.environment,
            "timestamp": iso(now()),
            "uptime_seconds": round(time.monotonic() - _began, 1),
        }
    )


@_everywhere("/health/live")
def live() -> Response:
    return success({"status": "alive", "timestamp": iso(now())})


@_everywhere("/health/ready")
def ready() -> Response:
    checks = {"database": _checked(_database), "queue": _checked(lambda: port(Jobs).queues.ping())}
    good = all(check["status"] == "ok" for check in checks.values())
    data = {"status": "ready" if good else "not_ready", "checks": checks, "timestamp": iso(now())}
    response = success(data) if good else jsonify(success=False, data=data)
    response.status_code = 200 if good else 503
    return response


def _database() -> None:
    db.session.execute(text("select 1"))
    db.session.rollback()


def _checked(check: Callable[[], None]) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        check()
    except Exception as error:
        return {"status": "down", "error": type(error).__name__}
    return {"status": "ok", "latency_ms": round((time.perf_counter() - began) * 1000, 2)}


@bp.get("/api/v1/info", endpoint="info_v1")
@bp.get("/api/info", endpoint="info")
def info() -> Response:
    settings = port(Settings)
    return success(
        {
            "name": "DevFlow",
            "version": "1.0.0",
            "api_version": "1.0",
            "environment": settings.environment,
            "documentation": "/api/v1/openapi.json",
        }
    )
