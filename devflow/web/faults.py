"""Every error leaves the house here: as the JSON envelope, as a toast for htmx, or as a page."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, current_app, make_response, request
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DBAPIError, IntegrityError, InternalError, OperationalError, SQLAlchemyError
from werkzeug.exceptions import HTTPException

from devflow.core.access import Actor
from devflow.core.db import db
from devflow.core.errors import DomainError, Forbidden, Stale, TooMany, Unauthenticated
from devflow.web.envelope import failure
from devflow.web.error_pages import page
from devflow.web.headers import shown_path
from devflow.web.identity import anybody, to_confirm, to_sign_in
from devflow.web.pages import toast, wants_block

log = logging.getLogger(__name__)
_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "PAYLOAD_TOO_LARGE",
    415: "BAD_REQUEST",
    429: "RATE_LIMIT_EXCEEDED",
    503: "SERVICE_UNAVAILABLE",
}
_CANNOT_WRITE = ("readonly", "read-only", "is full", "no space left", "disk i/o error")
"""What the databases say when the disk is full or may not be written to."""
_SENTENCES = {
    404: "There is nothing at this address.",
    405: "This address does not answer that method.",
    413: "The request is larger than this server accepts.",
    429: "Too many requests. Wait a moment, then try again.",
}


Refused = Callable[[Actor, str, str, int], None]
_KEY = "devflow-refused"


def init_app(app: Flask, refused: Refused) -> None:
    """`refused(actor, permission, address, status)` hears of every attempt that was not allowed."""
    app.extensions[_KEY] = refused
    app.register_error_handler(DomainError, told)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(OperationalError, _database)
    app.register_error_handler(InternalError, _read_only)
    app.register_error_handler(IntegrityError, _overtaken)
    app.register_error_handler(Exception, _unknown)


def told(error: DomainError) -> ResponseReturnValue:
    """The answer to an error of the house."""
    db.session.rollback()
    if isinstance(error, Unauthenticated) and not for_programs() and not wants_block():
        return to_sign_in()
    if isinstance(error, Stale) and not for_programs():
        return to_confirm()
    if isinstance(error, Forbidden) and "permission" in error.details:
        _note(error)
    other_words = [word for word in error.aliases if word != error.error_code]
    details = {**error.details, **({"aliases": other_words} if other_words else {})}
    response = answer(error.status, error.error_code, error.message, details)
    if isinstance(error, TooMany):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _note(error: Forbidden) -> None:
    refused: Refused = current_app.extensions[_KEY]
    try:
        refused(anybody(), error.details["permission"], f"{request.method} {shown_path()}", error.status)
    except SQLAlchemyError:
        db.session.rollback()
        log.exception("A refused attempt could not be written down")


def _http(error: HTTPException) -> ResponseReturnValue:
    if error.response is not None:
        return error.get_response()
    status = error.code or 500
    code = _CODES.get(status, "INTERNAL_SERVER_ERROR" if status >= 500 else "BAD_REQUEST")
    message = _SENTENCES.get(status, error.description or "Something went wrong.")
    response = answer(status, code, message, {})
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after"):
            response.headers[name] = value
    return response


def _database(error: DBAPIError) -> ResponseReturnValue:
    log.error("The database does not answer, or cannot write: %s", error.orig)
    db.session.rollback()
    said = str(error.orig).lower()
    text = "The database does not answer. Try again in a moment."
    if any(words in said for words in _CANNOT_WRITE):
        text = "The database cannot write right now, so nothing was changed. Try again in a moment."
    return answer(503, "SERVICE_UNAVAILABLE", text, {})


def _read_only(error: InternalError) -> ResponseReturnValue:
    """PostgreSQL calls it an internal error when it only reads, as a stand-by does."""
    return _database(error) if "read-only" in str(error.orig) else _unknown(error)


def _overtaken(error: IntegrityError) -> ResponseReturnValue:
    """What was free when a use case looked was taken before it wrote."""
    log.warning("Two wanted the same on %s %s: %s", request.method, shown_path(), error.orig)
    db.session.rollback()
    text = "Somebody else changed the same thing at the same moment. Look at it again, then try again."
    return answer(409, "CONFLICT", text, {})


def _unknown(error: Exception) -> ResponseReturnValue:
    db.session.rollback()
    log.exception("Unexpected error on %s %s", request.method, shown_path())
    text = "Something broke inside DevFlow. It is in the log; the request id helps to find it."
    return answer(500, "INTERNAL_SERVER_ERROR", text, {})


def for_programs() -> bool:
    """Does the asker expect JSON?"""
    return request.path.startswith(("/api/", "/health")) or request.accept_mimetypes.best == "application/json"


def answer(status: int, code: str, message: str, details: dict[str, Any]) -> Response:
    """One error in the form that fits the asker."""
    if for_programs():
        return failure(status, code, message, details)
    if wants_block():
        response = make_response("", status)
        response.headers["HX-Reswap"] = "none"
        if status == 401:
            response.headers["HX-Redirect"] = "/login"
        return toast(response, message, "error")
    return page(status, message, details)
