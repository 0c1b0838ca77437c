"""One decorator for every JSON endpoint; `web/openapi.py` tells the world about them.

    @bp.post("", calls=service.create, status=201, raises=(Conflict,))
    def create(body: ProjectIn) -> ProjectOut:

The signature says what comes in (`body`, `query`, path parameters) and what goes out; the use case says who may.
A caller meets 401, 403, 400 or 422, 404 and 409 in this order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from importlib import import_module
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from flask import Blueprint, Flask, Response, request
from pydantic import BaseModel, TypeAdapter
from werkzeug.exceptions import BadRequest as BrokenBody
from werkzeug.exceptions import RequestEntityTooLarge

from devflow.core.access import OPEN
from devflow.core.errors import BadRequest, DomainError
from devflow.core.paging import Page, WholeQuery, cut
from devflow.core.use_case import UseCase, refusal
from devflow.web.envelope import success
from devflow.web.idempotency import once
from devflow.web.identity import actor, anybody
from devflow.web.limits import Group, limit_for
from devflow.web.pages import checked, filters
from devflow.web.versions import Deprecation

View = TypeVar("View", bound=Callable[..., Any])
PREFIXES = ("/api/v1", "/api")
"""Both answer alike; the document lists the first."""


@dataclass(frozen=True)
class Said:
    """An answer with a message for people, or with figures beside the data."""

    data: Any
    message: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """What there is to say about an endpoint."""

    name: str
    tag: str
    calls: UseCase[Any]
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    returns: Any
    status: int
    raises: tuple[type[DomainError], ...]
    unwrapped: str | None = None
    also: tuple[str, ...] = ()
    moves: bool = False


@dataclass(frozen=True)
class Plain:
    """What there is to say about a route outside the pattern that answers the envelope."""

    tag: str
    returns: Any = None
    failures: tuple[int, ...] = ()


def described(tag: str, returns: Any = None, failures: tuple[int, ...] = ()) -> Callable[[View], View]:
    """Put a plain route into the document: the schema of its data and the statuses it can refuse with."""

    def mark(view: View) -> View:
        vars(view)["plain"] = Plain(tag, returns, failures)
        return view

    return mark


def plain_of(view: Callable[..., Any]) -> Plain | None:
    """What a plain route is documented as, if it is."""
    found = getattr(view, "plain", None)
    return found if isinstance(found, Plain) else None


def operation_of(view: Callable[..., Any]) -> Operation | None:
    """What a view function is documented as; None when it is no JSON endpoint."""
    found = getattr(view, "operation", None)
    return found if isinstance(found, Operation) else None


def document(app: Flask) -> dict[str, Any]:
    """The OpenAPI document of everything this app answers."""
    # By name: the library and its models cost memory that no other request needs.
    described: dict[str, Any] = import_module("devflow.web.openapi").document(app)
    return described


class ApiBlueprint(Blueprint):
    """A blueprint of JSON endpoints."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._operations: dict[str, tuple[Callable[..., Response], tuple[str, ...]]] = {}
        self._aliases: list[str] = []

    def get(self, rule: str, **options: Any) -> Callable[..., Any]:
        """A list that is not under a key of its own (`unwrapped`) is paged, whether or not its view thinks of it."""
        register = self._operation(("GET",), rule, **options)
        return register if options.get("unwrapped") else lambda view: register(_paged(view))

    def post(self, rule: str, **options: Any) -> Callable[..., Any]:
        return self._operation(("POST",), rule, **options)

    def put(self, rule: str, **options: Any) -> Callable[..., Any]:
        """PUT and PATCH are one partial update (conflicts.md C22)."""
        return self._operation(("PUT", "PATCH"), rule, **options)

    patch = put

    def delete(self, rule: str, **options: Any) -> Callable[..., Any]:
        return self._operation(("DELETE",), rule, **options)

    def alias(self, rule: str, view: str) -> None:
        """Let another address answer like the operation `view` (column alias_of of the contract)."""
        operation, methods = self._operations[view]
        self.add_url_rule(rule, f"{view}_{len(self._aliases)}", operation, methods=list(methods))
        self._aliases.append(rule)

    def _operation(
        self,
        methods: tuple[str, ...],
        rule: str,
        *,
        calls: UseCase[Any],
        status: int = 200,
        raises: tuple[type[DomainError], ...] = (),
        unwrapped: str | None = None,
        limit: Group | None = None,
        deprecated: Deprecation | None = None,
        also: tuple[str, ...] = (),
        moves: bool = False,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """`unwrapped` puts the data under that key (conflicts.md C07); `limit` counts calls against that group's limit;
        `deprecated` announces the end; `also` names media types answered to those who ask for them;
        `moves` says that browsers are sent elsewhere."""
        is_open = calls.permission in OPEN

        def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
            hints = get_type_hints(view)
            body, asked, returns = hints.get("body"), hints.get("query"), hints.get("return")
            adapter = None if returns in (None, type(None), Said, Response) else TypeAdapter(_item(returns))

            @wraps(view)
            def endpoint(**path: Any) -> Response:
                if is_open:
                    anybody()
                elif not actor().may(calls.permission):
                    raise refusal(actor(), calls.permission)
                if asked is not None:
                    path["query"] = filters(asked)
                if body is not None:
                    path["body"] = checked(body, _json())
                if status == 201:
                    return once(lambda: _answer(view(**path), adapter, status, unwrapped))
                return _answer(view(**path), adapter, status, unwrapped)

            more = (raises, unwrapped, also, moves)
            facts = Operation(view.__name__, self.name, calls, asked, body, returns, status, *more)
            marks = {"operation": facts, "calls": calls, "deprecated": deprecated}
            if limit is not None:
                marks["limited"] = limit_for(limit, view)
            vars(endpoint).update(marks)
            self.add_url_rule(rule, view.__name__, endpoint, methods=list(methods))
            self._operations[view.__name__] = (endpoint, methods)
            return view

        return decorate


def _paged(view: Callable[..., Any]) -> Callable[..., Any]:
    """A view that gives a list whole, cut to the page asked for: every list is paged alike."""
    hints = get_type_hints(view)
    asked = hints.get("query")
    if get_origin(hints.get("return")) is not list:
        return view

    @wraps(view)
    def page(query: Any, **path: Any) -> Any:
        return cut(view(**path) if asked is None else view(query=query, **path), query)

    kind = WholeQuery if asked is None else type(f"{asked.__name__}OfList", (asked, WholeQuery), {})
    page.__annotations__ = {**hints, "query": kind, "return": Page[_item(hints["return"])]}  # type: ignore[misc]
    return page


def _json() -> Any:
    """The body, which must be a JSON object; no body counts as an empty one."""
    sent, most = request.get_data(cache=True), request.max_content_length
    if not sent:
        return {}
    if request.content_length is None and most is not None and len(sent) >= most:
        raise RequestEntityTooLarge  # in chunks it is only cut off
    try:
        data = request.get_json(force=request.mimetype in ("", "text/plain"))
    except BrokenBody as error:
        raise BadRequest("The body is not readable JSON.") from error
    except Exception as error:
        if getattr(error, "code", None) == 415:
            raise BadRequest("Send the body as JSON, with Content-Type: application/json.") from error
        raise
    if not isinstance(data, dict):
        raise BadRequest("The body has to be a JSON object.")
    return data


def _item(returns: Any) -> Any:
    return get_args(returns)[0] if get_origin(returns) in (Page, list) else returns


def _answer(result: Any, adapter: TypeAdapter[Any] | None, status: int, unwrapped: str | None) -> Response:
    if isinstance(result, Response):
        return result
    message, more = None, {}
    if isinstance(result, Said):
        result, message, more = result.data, result.message, dict(result.meta)
    if isinstance(result, Page):
        more["pagination"] = result.meta()
        result = list(result.items)
    data = _plain(result, adapter)
    if unwrapped:
        data = {unwrapped: data}
    return success(data, status, message, **more)


def _plain(result: Any, adapter: TypeAdapter[Any] | None) -> Any:
    if adapter is None or result is None:
        return result
    if isinstance(result, list):
        return [_plain(item, adapter) for item in result]
    return adapter.dump_python(adapter.validate_python(result, from_attributes=True), mode="json")
