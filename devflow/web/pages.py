"""The toolbox of the HTML doors: whole pages or one block of them, forms, redirects, toasts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Response, flash, get_flashed_messages, make_response, render_template, request, url_for
from flask import redirect as go
from flask.typing import ResponseReturnValue
from jinja2_fragments import BlockNotFoundError
from jinja2_fragments.flask import render_block
from pydantic import BaseModel, ValidationError

from devflow.core.errors import Conflict, Invalid, NotFound, TooMany
from devflow.core.schema import Amiss
from devflow.core.use_case import UseCase, refusal
from devflow.web.identity import actor

Schema = TypeVar("Schema", bound=BaseModel)
View = Callable[..., ResponseReturnValue]


def wants_block() -> bool:
    """Is htmx asking for a part of a page?"""
    return request.headers.get("HX-Request") == "true" and request.headers.get("HX-Boosted") != "true"


def render(template: str, block: str | None = None, status: int = 200, **context: Any) -> Response:
    """The whole page, or for htmx one named block of it (`?block=` chooses another one)."""
    block = request.args.get("block", block)
    whole = block is None or not wants_block()
    try:
        body = render_template(template, **context) if whole else render_block(template, str(block), **context)
    except BlockNotFoundError as error:
        raise NotFound(f"This page has no part called {block}.") from error
    response = make_response(body, status)
    response.headers["Vary"] = "HX-Request, Cookie"
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def toast(response: Response, text: str, kind: str = "success") -> Response:
    """Let htmx show a toast with this answer."""
    # Escaped to ASCII: a header carries nothing else.
    response.headers["HX-Trigger"] = json.dumps({"toast": {"kind": kind, "text": text}})
    return response


def redirect(url: str, said: str | None = None) -> Response:
    """Go to another page; `said` becomes a toast there."""
    if said:
        flash(said, "success")
    if not wants_block():
        response = make_response(go(url, 303))
    else:
        response = make_response("", 204)
        response.headers["HX-Redirect"] = url
    return response


@contextmanager
def flashed_error() -> Iterator[None]:
    """Let the page that follows say what did not work, where the button was pressed on a page without a form."""
    try:
        yield
    except (Conflict, Invalid) as error:
        flash(error.message, "error")


def or_toast(**pages: str) -> Callable[[View], View]:
    """A button that came too late, or too often, says so in a toast instead of leading to a page about an error.

    `pages` are endpoints by the name of an error's detail: `deployment_id="deployments.show"` leads to the deployment
    that is in the way. Otherwise the toast appears where the button was.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def run(**path: Any) -> ResponseReturnValue:
            try:
                return view(**path)
            except (Conflict, TooMany) as error:
                flash(error.message, "error")
                known = [(page, name) for name, page in pages.items() if name in error.details]
                ways = [url_for(page, **{name: error.details[name]}) for page, name in known]
                return redirect(ways[0] if ways else _came_from())

        return run

    return decorate


def _came_from() -> str:
    """The page of ours that this form was on."""
    referrer = urlsplit(request.referrer or "")
    return local_path(referrer.path if referrer.netloc == request.host else None, "/dashboard")


def _flashes() -> list[tuple[str, str]]:
    return get_flashed_messages(with_categories=True)  # type: ignore[return-value]


def toasts() -> list[dict[str, str]]:
    """What the page before wanted to say, for the layout."""
    return [{"kind": kind, "text": text} for kind, text in _flashes()]


def local_path(target: str | None, otherwise: str) -> str:
    """`target` if it is a path on this site, so that a link cannot send anybody elsewhere."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")) or "\\" in target:
        return otherwise
    parts = urlsplit(target)
    return otherwise if parts.scheme or parts.netloc or any(ord(c) < 32 for c in target) else target


def field_errors(error: ValidationError) -> dict[str, list[str]]:
    """The messages of a validation, by field."""
    fields: dict[str, list[str]] = {}
    for problem in error.errors():
        raised = problem.get("ctx", {}).get("error")
        names = raised.fields if isinstance(raised, Amiss) else (".".join(str(part) for part in problem["loc"]),)
        for name in names:
            fields.setdefault(name or "_", []).append(sentence(problem))
    return fields


_SENTENCES = {
    "missing": "Needed.",
    "string_too_short": "At least {min_length} characters.",
    "too_short": "At least {min_length}.",
    "too_long": "At most {max_length}.",
    "string_too_long": "At most {max_length} characters.",
    "greater_than_equal": "At least {ge}.",
    "greater_than": "More than {gt}.",
    "less_than_equal": "At most {le}.",
    "less_than": "Less than {lt}.",
    "int_parsing": "A whole number.",
    "int_type": "A whole number.",
    "int_from_float": "A whole number.",
    "float_parsing": "A number.",
    "float_type": "A number.",
    "bool_parsing": "Yes or no (true or false).",
    "bool_type": "Yes or no (true or false).",
    "string_type": "A text.",
    "list_type": "A list.",
    "dict_type": "An object.",
    "literal_error": "One of {expected}.",
    "enum": "One of {expected}.",
    "datetime_from_date_parsing": "A date such as 2026-01-31 or 2026-01-31T12:00:00Z.",
    "datetime_parsing": "A date such as 2026-01-31 or 2026-01-31T12:00:00Z.",
    "datetime_type": "A date such as 2026-01-31 or 2026-01-31T12:00:00Z.",
    "string_pattern_mismatch": "This is not written as it has to be.",
}
"""The library's kinds of errors in our words (design.md section 7): what is accepted."""


def sentence(problem: Any) -> str:
    """One validation error for people."""
    known = _SENTENCES.get(problem["type"])
    if known == "At least {min_length} characters." and problem["ctx"]["min_length"] == 1:
        return "Needed."
    if known is not None:
        return known.format(**problem.get("ctx", {}))
    text = str(problem["msg"]).removeprefix("Value error, ")
    return text[:1].upper() + text[1:]


def checked(schema: type[Schema], values: Any) -> Schema:
    """Parse values into a schema; raises Invalid with the errors by field."""
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        fields = field_errors(error)
        listed = ", ".join(name for name in fields if name != "_")
        raise Invalid(f"Check {listed}." if listed else "Check what you sent.", fields) from error


def filters(schema: type[Schema]) -> Schema:
    """The query string as a schema; empty values count as absent."""
    return checked(schema, {name: value for name, value in request.args.items() if value != ""})


def submits(
    template: str, schema: type[BaseModel], *, calls: UseCase[Any] | None = None, block: str = "form"
) -> Callable[[View], View]:
    """GET shows a form; POST parses it into `schema`, or shows it again with its errors (422).

    The view gets `data` (None on GET) and returns a response, or a dict of context for the form.
    `calls` guards the form itself by the permission of the use case it leads to.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def run(**path: Any) -> ResponseReturnValue:
            if calls is not None and not actor().may(calls.permission):
                raise refusal(actor(), calls.permission)
            values: dict[str, Any] = request.form.to_dict()
            errors: dict[str, list[str]] = {}
            data = None
            if request.method == "POST":
                try:
                    data = checked(schema, {name: value for name, value in values.items() if value != ""})
                    answer = view(data=data, **path)
                    if not isinstance(answer, dict):
                        return answer
                except (Invalid, Conflict) as error:
                    errors = dict(getattr(error, "fields", {})) or {"form": [error.message]}
                    errors["form"] = errors.pop("_", []) + errors.get("form", [])
            context = view(data=None, **path)
            if not isinstance(context, dict):
                return context
            shown = {**context.pop("values", {}), **values}
            errors = {**context.pop("errors", {}), **errors}
            status = 422 if request.method == "POST" else 200
            return render(template, block, status, values=shown, errors=errors, **context)

        return run

    return decorate
