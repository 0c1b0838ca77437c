"""The one shape of JSON answers: `{success, data, message?, meta}` or `{success, error, meta}`."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response, g

from devflow.core.clock import iso, now
from devflow.web.versions import VERSION


def meta(**more: Any) -> dict[str, Any]:
    return {"timestamp": iso(now()), "version": VERSION, "request_id": str(getattr(g, "request_id", "")), **more}


def dump(value: Any, status: int) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(value), status=status, mimetype="application/json")


def success(data: Any, status: int = 200, message: str | None = None, **more: Any) -> Response:
    body: dict[str, Any] = {"success": True, "data": data}
    if message is not None:
        body["message"] = message
    body["meta"] = meta(**more)
    return dump(body, status)


def failure(status: int, code: str, message: str, details: dict[str, Any]) -> Response:
    error = {"code": code, "message": message, "status_code": status, "details": details}
    return dump({"success": False, "error": error, "meta": meta()}, status)
