"""The OpenAPI document: told from the signatures, the use cases and the schemas, so that it cannot drift.

Loaded when somebody asks for the document: `web/api.py` keeps the facts and this room tells them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, get_args, get_origin

from flask import Flask, Response
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from devflow.core.access import OPEN, scope_for
from devflow.core.paging import Page
from devflow.web import openapi_parts as parts
from devflow.web.api import PREFIXES, Operation, Plain, Said, operation_of, plain_of
from devflow.web.limits import Limited, limit_of
from devflow.web.samples import sample
from devflow.web.versions import Deprecation, deprecation_of

_REF = "#/components/schemas/{model}"
_VARIABLE = re.compile(r"<(?:\w+(?:\([^)]*\))?:)?(\w+)>")
_WRITES = ("post", "put", "patch", "delete")


class _Told(NamedTuple):
    """An operation at one address by one method."""

    path: str
    method: str
    view: Callable[..., Any]


def document(app: Flask) -> dict[str, Any]:
    """The OpenAPI document of everything this app answers."""
    told = sorted(_told(app), key=lambda one: (one.path, one.method))
    schemas = _Schemas(facts for one in told if (facts := operation_of(one.view) or plain_of(one.view)))
    paths: dict[str, dict[str, Any]] = {}
    for one in told:
        facts = operation_of(one.view)
        if facts is not None:
            described = _operation(one, facts, schemas)
        else:
            plain = plain_of(one.view)
            assert plain is not None
            described = _plain(one, plain, schemas)
        paths.setdefault(one.path, {})[one.method] = described
    _tell_apart(paths)
    tags = sorted({tag for item in paths.values() for operation in item.values() for tag in operation["tags"]})
    return {
        "openapi": "3.1.0",
        "info": parts.INFO,
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in tags],
        "paths": paths,
        "components": {**parts.COMPONENTS, "schemas": schemas.named},
    }


def _told(app: Flask) -> Iterator[_Told]:
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if rule.rule.startswith(PREFIXES[0] + "/") and (operation_of(view) or plain_of(view)):
            path = _VARIABLE.sub(r"{\1}", rule.rule)
            for method in sorted(set(rule.methods or ()) - {"HEAD", "OPTIONS"}):
                yield _Told(path, method.lower(), view)


def _tell_apart(paths: dict[str, dict[str, Any]]) -> None:
    """An id of its own for each operation, also where one view answers several methods or addresses."""
    taken: set[str] = set()
    for item in paths.values():
        for method, operation in item.items():
            name, number = operation["operationId"], 2
            if name in taken:
                name = f"{name}.{method}"
            while name in taken:
                name = f"{operation['operationId']}.{method}{number}"
                number += 1
            operation["operationId"] = name
            taken.add(name)


def _operation(one: _Told, facts: Operation, schemas: _Schemas) -> dict[str, Any]:
    permission = facts.calls.permission
    is_open = permission in OPEN
    ending, limit = deprecation_of(one.view), limit_of(one.view)
    says = (one.view.__doc__ or "").strip()
    described: dict[str, Any] = {
        "tags": [facts.tag],
        "operationId": f"{facts.tag}.{facts.name}",
        "summary": says.split("\n")[0].rstrip("."),
        "description": _description(says, limit, ending),
        "security": [] if is_open else [{"bearer": []}, {"cookie": []}],
        "x-permission": permission.value,
        "parameters": [*_path_parameters(one.path), *schemas.parameters(facts), *_headers(one.method, facts)],
        "responses": {
            str(facts.status): _success(facts, schemas, ending),
            **{str(status): parts.error_response(status) for status in sorted(_failures(one, facts, is_open))},
        },
    }
    if facts.moves:
        location = {"Location": {"description": "Where to.", "schema": {"type": "string"}}}
        described["responses"]["302"] = {"description": "A browser is sent on.", "headers": location}
    if not is_open:
        described["x-scope"] = scope_for(permission)
    if ending is not None:
        described["deprecated"] = True
    if facts.body is not None:
        schema = schemas.of(facts.body, "validation")
        media = {"schema": schema, "example": sample(schema, schemas.named)}
        described["requestBody"] = {
            "required": bool(_resolved(schema, schemas.named).get("required")),
            "content": {"application/json": media},
        }
    return described


def _description(says: str, limit: Limited | None, ending: Deprecation | None) -> str:
    lines = [says]
    if limit is not None:
        lines.append(parts.LIMITS[limit.group])
    if ending is not None:
        lines.append(f"Deprecated since {ending.since}, gone on {ending.sunset}: {ending.link}")
    return "\n\n".join(line for line in lines if line)


def _plain(one: _Told, facts: Plain, schemas: _Schemas) -> dict[str, Any]:
    says = (one.view.__doc__ or "").strip()
    headers = {name: ref for name, ref in parts.HEADERS.items() if not name.startswith("X-RateLimit")}
    schema = parts.envelope(schemas.of(facts.returns, "serialization")) if facts.returns else {"type": "object"}
    return {
        "tags": [facts.tag],
        "operationId": f"{facts.tag}.{one.view.__name__}",
        "summary": says.split("\n")[0].rstrip("."),
        "description": says,
        "security": [],
        "parameters": [],
        "responses": {
            "200": {
                "description": "Done.",
                "headers": headers,
                "content": {"application/json": {"schema": schema}},
            },
            **{str(status): parts.error_response(status) for status in facts.failures},
        },
    }


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": parts.PATH.get(name) or f"Id of the {name.removesuffix('_id').replace('_', ' ')}.",
            "schema": {"type": "string", "maxLength": 255},
        }
        for name in re.findall(r"{(\w+)}", path)
    ]


def _headers(method: str, facts: Operation) -> list[dict[str, Any]]:
    names = ["ApiVersion", "RequestId"]
    if any("team_id" in kind.model_fields for kind in (facts.body, facts.query) if kind is not None):
        names.append("TeamId")
    if method == "post" and facts.status == 201:
        names.append("IdempotencyKey")
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _success(facts: Operation, schemas: _Schemas, ending: Deprecation | None) -> dict[str, Any]:
    headers = dict(parts.HEADERS)
    if facts.status == 201:
        headers["Idempotency-Replayed"] = {"$ref": "#/components/headers/IdempotencyReplayed"}
    if ending is not None:
        headers |= {name: {"$ref": f"#/components/headers/{name}"} for name in ("Deprecation", "Sunset", "Link")}
    described: dict[str, Any] = {"description": "Created." if facts.status == 201 else "Done.", "headers": headers}
    if facts.status == 204:
        return described
    schema = schemas.answer(facts)
    content: dict[str, Any] = {"application/json": {"schema": schema, "example": sample(schema, schemas.named)}}
    content |= {media: {"schema": {"type": "string"}} for media in facts.also}
    return {**described, "content": content}


def _failures(one: _Told, facts: Operation, is_open: bool) -> set[int]:
    """Every status this operation can refuse with."""
    found = {error.status for error in facts.raises} | {400, 429, 503}
    if not is_open:
        found |= {401, 403}
    named = [name for kind in (facts.body, facts.query) if kind is not None for name in kind.model_fields]
    if "{" in one.path or any(name.endswith("_id") for name in named):
        found.add(404)
    if facts.body is not None:
        found |= {413, 422}
    if facts.query is not None:
        found.add(422)
    if one.method in _WRITES:
        found |= {403, 409}
    if facts.status == 201:
        found |= {409, 422}
    return found


class _Generator(GenerateJsonSchema):
    """Schemas without a title for each field: it only repeats the name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


class _Schemas:
    """The schemas of all inputs and outputs, made together so that each is there once."""

    def __init__(self, all_facts: Iterable[Operation | Plain]) -> None:
        wanted: dict[tuple[str, JsonSchemaMode], TypeAdapter[Any]] = {}
        for facts in all_facts:
            for kind, mode in _kinds(facts):
                wanted[_key(kind), mode] = TypeAdapter(kind)
        inputs = [(key, mode, adapter) for (key, mode), adapter in wanted.items()]
        found, definitions = TypeAdapter.json_schemas(inputs, ref_template=_REF, schema_generator=_Generator)
        self._found: dict[Any, Any] = dict(found)
        self.named: dict[str, Any] = {**definitions.get("$defs", {}), **parts.SCHEMAS}

    def of(self, kind: Any, mode: JsonSchemaMode) -> dict[str, Any]:
        return self._found[_key(kind), mode]

    def answer(self, facts: Operation) -> dict[str, Any]:
        """The envelope around what an operation answers."""
        item, many = _item(facts.returns)
        paged = get_origin(facts.returns) is Page
        data: dict[str, Any] = {} if item is None else self.of(item, "serialization")
        if many:
            data = {"type": "array", "items": data}
        if facts.unwrapped:
            data = {"type": "object", "required": [facts.unwrapped], "properties": {facts.unwrapped: data}}
        return parts.envelope(data, paged=paged)

    def parameters(self, facts: Operation) -> list[dict[str, Any]]:
        """The query of an operation, one parameter a field."""
        if facts.query is None:
            return []
        whole = _resolved(self.of(facts.query, "validation"), self.named)
        needed = set(whole.get("required", ()))
        return [
            {
                "name": name,
                "in": "query",
                "required": name in needed,
                "description": schema.get("description") or parts.QUERY.get(name, ""),
                "schema": _of_query(schema),
            }
            for name, schema in whole.get("properties", {}).items()
        ]


def _kinds(facts: Operation | Plain) -> Iterator[tuple[Any, JsonSchemaMode]]:
    item, _ = _item(facts.returns)
    if item is not None:
        yield item, "serialization"
    if isinstance(facts, Operation):
        yield from ((kind, "validation") for kind in (facts.body, facts.query) if kind is not None)


def _item(returns: Any) -> tuple[Any, bool]:
    """What is in `data`, or in each of its items; None when it is anything."""
    if returns in (None, type(None), Said, Response, Any):
        return None, False
    if get_origin(returns) in (Page, list):
        return get_args(returns)[0], True
    return returns, False


def _key(kind: Any) -> str:
    return f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', kind)}"


def _of_query(schema: dict[str, Any]) -> dict[str, Any]:
    """A field as a parameter: what may be left out is not null in an address."""
    options = [option for option in schema.get("anyOf", []) if option.get("type") != "null"]
    found = {name: value for name, value in schema.items() if name not in ("anyOf", "description")}
    if len(options) == 1:
        found |= options[0]
    elif options:
        found["anyOf"] = options
    if found.get("default", 0) is None:
        del found["default"]
    return found


def _resolved(schema: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = named[schema["$ref"].rpartition("/")[2]]
    return schema
