"""The OpenAPI document. The only room that knows the library; loaded when somebody asks for the document.

Describing the endpoints costs the library, a model of every answer and some seconds of a start, for a page that hardly
anybody reads: `web/api.py` keeps facts and this room tells them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args, get_origin

from flask import Flask, Response
from pydantic import BaseModel, Field, create_model
from spectree import Response as Answers
from spectree import SecurityScheme, SpecTree
from spectree.models import SecureType, SecuritySchemeData

from devflow.core.access import OPEN
from devflow.core.paging import Page
from devflow.web.api import PREFIXES, Operation, Said, operation_of


class Meta(BaseModel):
    timestamp: str
    version: str
    request_id: str
    pagination: dict[str, Any] | None = None


class ErrorBody(BaseModel):
    code: str
    message: str
    status_code: int
    details: dict[str, Any] = Field(default_factory=dict)


class ErrorEnvelope(BaseModel):
    success: bool = False
    error: ErrorBody
    meta: Meta


def document(app: Flask) -> dict[str, Any]:
    """The OpenAPI document of everything this app answers."""
    spec = Spec()
    spec.app = app
    for view in app.view_functions.values():
        spec.describe(view)
    whole = dict(spec.spec)
    whole["paths"] = {path: item for path, item in whole["paths"].items() if path.startswith(PREFIXES[0] + "/")}
    _tell_apart(whole["paths"])
    return whole


def _tell_apart(paths: dict[str, dict[str, Any]]) -> None:
    """An id of its own for each operation, also where one view answers several methods or addresses."""
    taken: set[str] = set()
    for item in paths.values():
        for method, operation in item.items():
            name = operation["operationId"]
            if name in taken:
                name = f"{name}.{method}"
            number = 2
            while name in taken:
                name = f"{operation['operationId']}.{method}{number}"
                number += 1
            operation["operationId"] = name
            taken.add(name)


class Spec(SpecTree):
    """The library, asked about views that do not know it."""

    def __init__(self) -> None:
        bearer = SecuritySchemeData(type=SecureType.HTTP, scheme="bearer")  # type: ignore[call-arg]
        super().__init__(
            "flask",
            title="DevFlow",
            version="1.0.0",
            path="api/v1/docs",
            mode="strict",
            annotations=False,
            validation_error_model=ErrorEnvelope,
            naming_strategy=lambda model: model.__name__.replace("[", "Of").replace("]", ""),
            nested_naming_strategy=lambda _parent, child: child,
            security_schemes=[SecurityScheme(name="bearer", data=bearer)],
        )
        self._described: dict[Callable[..., Any], Callable[..., Any]] = {}
        self._envelopes: dict[str, type[BaseModel]] = {}

    def describe(self, view: Callable[..., Any]) -> None:
        """Learn what a view takes and gives, if it is a JSON endpoint."""
        facts = operation_of(view)
        if facts is None or view in self._described:
            return
        is_open = facts.calls.permission in OPEN
        failures = {f"HTTP_{code}": ErrorEnvelope for code in _failures(facts, is_open)}
        self._described[view] = self.validate(
            query=facts.query,
            json=facts.body,
            resp=Answers(**{f"HTTP_{facts.status}": self._envelope(facts.returns)}, **failures),
            tags=[facts.tag],
            security={} if is_open else {"bearer": []},
            operation_id=f"{facts.tag}.{facts.name}",
            skip_validation=True,
        )(view)

    def get_function_metadata(self, func: Callable[..., Any]) -> Any:
        return super().get_function_metadata(self._described.get(func, func))

    def _envelope(self, returns: Any) -> type[BaseModel]:
        """The documented shape of an answer: one envelope class for each kind of data."""
        if returns in (None, type(None), Said, Response):
            data: Any = Any
            name = "MessageEnvelope"
        else:
            many = get_origin(returns) in (Page, list)
            item: Any = get_args(returns)[0] if many else returns
            data = list[item] if many else item  # type: ignore[valid-type]
            name = f"{getattr(item, '__name__', 'Any')}{'List' if many else ''}Envelope"
        if name not in self._envelopes:
            present = None if data is Any else ...
            self._envelopes[name] = create_model(
                name, success=(bool, True), data=(data, present), message=(str | None, None), meta=(Meta, ...)
            )
        return self._envelopes[name]


def _failures(facts: Operation, is_open: bool) -> set[int]:
    found = {error.status for error in facts.raises}
    if not is_open:
        found |= {401, 403}
    if facts.body is not None:
        found |= {400, 422}
    if facts.query is not None:
        found |= {422}
    return found
