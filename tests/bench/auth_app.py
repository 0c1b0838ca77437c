"""The platform's own app with two routes more that give the same bytes: one asks nobody, one knows who asks."""

from __future__ import annotations

from flask import Response

from devflow.app import process_app
from devflow.web.identity import actor

app = process_app()
BODY = b'{"success": true}'


@app.get("/bench/bare")
def bare() -> Response:
    return Response(BODY, mimetype="application/json")


@app.get("/bench/known")
def known() -> Response:
    assert actor().id
    return Response(BODY, mimetype="application/json")
