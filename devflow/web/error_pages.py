"""Pages about errors: what happened, why, and what to do next; inside the shell for whoever is signed in."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from flask import Response, current_app, g, make_response, render_template, request
from sqlalchemy.exc import SQLAlchemyError

from devflow.core.access import GRANTABLE, TEAM_RIGHTS, Permission
from devflow.core.db import db
from devflow.web.identity import visitor

log = logging.getLogger(__name__)
TEMPLATE = "errors/error.html"
SHELL = "errors/inside.html"


class Words(NamedTuple):
    """What a page about an error says beside the sentence of the error itself."""

    title: str
    why: str = ""
    icon: str = "circle-alert"


_SAFE = "Apps that are deployed keep serving."
WORDS = {
    400: Words("This request cannot be read"),
    401: Words("Sign in first", icon="lock"),
    403: Words("You may not do this", icon="lock"),
    404: Words(
        "Nothing here", "It may have been deleted or renamed, or it belongs to a team that you are not in.", "search"
    ),
    405: Words("Not like this"),
    409: Words("This does not fit right now", "Nothing was changed."),
    413: Words("Too large", "Nothing was changed."),
    422: Words("Something needs a change", "Nothing was changed."),
    429: Words("Wait a moment", "Nothing was changed.", "clock"),
    500: Words("DevFlow made a mistake", f"What you sent may not be saved: look before you send it again. {_SAFE}"),
    503: Words("Not available right now", _SAFE, "clock"),
}
"""By status; what is not listed counts as 500."""
_LATER = frozenset({429, 500, 503})
"""Here the same address may answer a moment later."""


def page(status: int, message: str, details: dict[str, Any]) -> Response:
    """The page about one error. Anonymous visitors cost no query, and it comes when the database is away too."""
    words = WORDS.get(status, WORDS[500])
    context = {
        "status": status, "message": message, "hint": details.get("hint", ""), "number": g.get("request_id"),
        "again": status in _LATER and request.method == "GET", **words._asdict(),
    }  # fmt: skip
    body = None if status == 503 or not _wants_page() else _inside({**context, **_question(details)})
    if body is None:  # straight from the template: what every page knows would ask the database
        body = current_app.jinja_env.get_template(TEMPLATE).render(context)
    response = make_response(body, status)
    response.headers["Cache-Control"], response.headers["Vary"] = "no-store", "HX-Request, Cookie"
    return response


def _wants_page() -> bool:
    """Is a person looking, rather than a page asking for one of its pictures?"""
    return request.endpoint != "static" and request.headers.get("Sec-Fetch-Dest", "document") == "document"


def _inside(context: dict[str, Any]) -> str | None:
    """In the shell, for somebody whose session can be looked up and whose shell can be drawn."""
    try:
        return render_template(SHELL, **context) if visitor() else None
    except SQLAlchemyError:
        log.warning("The shell around an error could not ask the database")
    except Exception:  # what broke the page may break its shell too
        log.exception("The shell around an error could not be drawn")
    db.session.rollback()
    return None


def _question(details: dict[str, Any]) -> dict[str, Any]:
    """The permission that was missing, as the page that explains permissions takes it."""
    missing = details.get("permission")
    if missing not in {permission.value for permission in GRANTABLE}:
        return {"missing": None}
    return {"missing": missing, "in_team": Permission(missing) in TEAM_RIGHTS}
