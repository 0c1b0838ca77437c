"""What the platform is made of, with nothing on it: the reference for memory and for lists."""

from __future__ import annotations

import os
from pathlib import Path

from flask import Flask, Response
from huey import SqliteHuey

FOLDER = Path(os.environ["BARE_FOLDER"])
app = Flask(__name__)
huey = SqliteHuey(filename=str(FOLDER / "bare.db"))
BODY = (FOLDER / "body").read_bytes()


@app.get("/")
def hello() -> Response:
    return Response(BODY, mimetype=os.environ.get("BARE_KIND", "application/json"))
