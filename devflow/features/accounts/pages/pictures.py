"""Pictures of people: choose, remove, and the pictures themselves."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, request, send_file, url_for
from flask.typing import ResponseReturnValue

from devflow.core.errors import Invalid, NotFound
from devflow.core.settings import Settings
from devflow.features.accounts.service import pictures
from devflow.web.identity import actor
from devflow.web.pages import redirect
from devflow.web.ports import port

bp = Blueprint("pictures", __name__)
YEAR = 365 * 86400


def folder() -> Path:
    """Where the pictures are."""
    return port(Settings).folder / "avatars"


@bp.get("/avatars/<name>")
def show(name: str) -> Response:
    """A picture, to whoever is signed in; its name changes with it."""
    actor()
    path = pictures.file_of(name, folder())
    if path is None or not path.is_file():
        raise NotFound("There is no such picture.")
    response = send_file(path, mimetype="image/webp", conditional=True, etag=True)
    response.headers["Cache-Control"] = f"private, max-age={YEAR}, immutable"
    return response


@bp.post("/settings/picture")
def choose() -> ResponseReturnValue:
    person, sent = actor(), request.files.get("picture")
    if sent is None or not sent.filename:
        raise Invalid("Choose a picture first.", {"picture": ["Choose a picture first."]})
    pictures.choose(person, sent.stream.read(pictures.MOST_BYTES + 1), folder())
    return redirect(url_for("settings.index"), "Picture saved")


@bp.post("/settings/picture/delete")
def remove() -> ResponseReturnValue:
    pictures.remove(actor(), folder())
    return redirect(url_for("settings.index"), "Picture removed")
