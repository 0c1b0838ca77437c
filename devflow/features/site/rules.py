"""The OpenAPI document as a reference that people read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_GROUPS = {"overview": "projects"}
"""Groups that a reader would look for under another name."""
_TITLES = {"github": "GitHub", "oauth": "Sign-in by others"}
_DEEPEST = 3

Document = Mapping[str, Any]
Groups = list[dict[str, Any]]


def reference(document: Document, base: str) -> Groups:
    """Operations by group, each with its parameters, fields, answers, refusals and a call to copy."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, item in sorted(document["paths"].items()):
        for method, operation in item.items():
            name = _GROUPS.get(operation["tags"][0], operation["tags"][0])
            groups.setdefault(name, []).append(_operation(document, base, path, method, operation))
    titles = {name: _TITLES.get(name) or name.replace("_", " ").capitalize() for name in groups}
    return [{"name": name, "title": titles[name], "operations": groups[name]} for name in sorted(groups)]


def errors(document: Document) -> list[dict[str, Any]]:
    """Every code of a refusal, with its status and what it means."""
    error = document["components"]["schemas"]["Error"]["properties"]["error"]
    found: list[dict[str, Any]] = error["properties"]["code"]["x-meanings"]
    return found


def matching(groups: Groups, search: str) -> Groups:
    """The operations that have all these words in address, method, summary or group."""
    words = search.lower().split()
    if not words:
        return groups
    found = []
    for group in groups:
        kept = [one for one in group["operations"] if all(word in one["text"] for word in words)]
        if kept:
            found.append({**group, "operations": kept})
    return found


def _operation(document: Document, base: str, path: str, method: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    media = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    answers = operation["responses"]
    good = next((code for code in answers if code.startswith("2")), "200")
    answer = answers[good].get("content", {}).get("application/json", {}).get("schema", {})
    data = _resolved(document, answer).get("properties", {}).get("data", {})
    says = operation.get("description") or operation.get("summary", "")
    parameters = [_known(document, parameter) for parameter in operation.get("parameters", [])]
    return {
        "id": operation["operationId"].replace(".", "-"),
        "method": method.upper(),
        "path": path,
        "title": operation.get("summary", ""),
        "says": [part for part in says.split("\n\n") if part],
        "open": not operation.get("security"),
        "permission": operation.get("x-permission"),
        "scope": operation.get("x-scope"),
        "deprecated": operation.get("deprecated", False),
        "status": good,
        "errors": sorted(code for code in answers if code[0] in "45"),
        "parameters": [_parameter(document, one) for one in parameters if one["in"] != "header"],
        "headers": [_parameter(document, one) for one in parameters if one["in"] == "header"],
        "fields": list(_fields(document, media.get("schema", {}))),
        "answer": list(_fields(document, _resolved(document, data).get("items", data))),
        "many": _resolved(document, data).get("type") == "array",
        "call": _call(base, path, method, operation, media),
        "text": f"{method} {path} {operation.get('summary', '')} {operation['tags'][0]}".lower(),
    }


def _call(base: str, path: str, method: str, operation: Mapping[str, Any], media: Mapping[str, Any]) -> str:
    """The operation as a line for a shell."""
    verb = "" if method == "get" else f" -X {method.upper()}"
    lines = [f"curl{verb} {base}{path}"]
    if operation.get("security"):
        lines.append('-H "Authorization: Bearer $TOKEN"')
    if media:
        needed = media.get("example") or {}
        lines.append("-H 'Content-Type: application/json'")
        lines.append(f"-d '{json.dumps(needed, ensure_ascii=False)}'".replace("\n", " "))
    return " \\\n     ".join(lines)


def _known(document: Document, parameter: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in parameter:
        found: Mapping[str, Any] = document["components"]["parameters"][parameter["$ref"].rpartition("/")[2]]
        return found
    return parameter


def _parameter(document: Document, parameter: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": parameter["name"],
        "where": parameter["in"],
        "type": _type(document, parameter.get("schema", {})),
        "says": parameter.get("description", ""),
        "required": parameter.get("required", False),
        "default": parameter.get("schema", {}).get("default"),
    }


def _resolved(document: Document, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = schema
    while "$ref" in found:
        found = document["components"]["schemas"][found["$ref"].rpartition("/")[2]]
    for option in found.get("anyOf", []):
        if option.get("type") != "null":
            return {**_resolved(document, option), **{k: v for k, v in found.items() if k != "anyOf"}}
    return found  # type: ignore[no-any-return]


def _fields(document: Document, schema: Mapping[str, Any], inside: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """The fields of an object, those of objects in it as `outer.inner` or `outer[].inner`."""
    whole = _resolved(document, schema)
    needed = set(whole.get("required", ()))
    for name, field in whole.get("properties", {}).items():
        known = _resolved(document, field)
        yield {
            "name": ".".join((*inside, name)),
            "type": _type(document, field),
            "required": name in needed,
            "says": known.get("description", "") if "$ref" not in field else "",
            "default": field.get("default"),
        }
        if len(inside) < _DEEPEST - 1:
            many = known.get("type") == "array"
            yield from _fields(document, known.get("items", {}) if many else known, (*inside, name + "[]" * many))


def _type(document: Document, schema: Mapping[str, Any]) -> str:
    found = _resolved(document, schema)
    if "enum" in found:
        return " | ".join(str(word) or '""' for word in found["enum"])
    if "const" in found:
        return json.dumps(found["const"])
    if found.get("type") == "array":
        return f"list of {_type(document, found.get('items', {}))}"
    nullable = any(option.get("type") == "null" for option in schema.get("anyOf", []))
    kind = found.get("format") or found.get("type", "any")
    return f"{'time' if kind == 'date-time' else kind}{' or null' if nullable else ''}"
