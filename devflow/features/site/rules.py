"""The OpenAPI document as a reference that people read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TITLES = {"overview": "projects", "accounts": "accounts"}


def reference(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Operations by group, each with its parameters, fields and answers."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, item in sorted(document["paths"].items()):
        for method, operation in item.items():
            name = _TITLES.get(operation["tags"][0], operation["tags"][0])
            groups.setdefault(name, []).append(_operation(document, path, method, operation))
    return [{"name": name, "operations": groups[name]} for name in sorted(groups)]


def _operation(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    answers = operation["responses"]
    good = next((code for code in answers if code.startswith("2")), "200")
    answer = answers[good].get("content", {}).get("application/json", {}).get("schema", {})
    data = _resolved(document, answer).get("properties", {}).get("data", {})
    return {
        "id": operation["operationId"].replace(".", "-"),
        "method": method.upper(),
        "path": path,
        "says": operation.get("description") or operation.get("summary", ""),
        "open": not operation.get("security"),
        "status": good,
        "errors": [code for code in answers if not code.startswith("2")],
        "parameters": [
            {
                "name": parameter["name"],
                "where": parameter["in"],
                "type": _type(document, parameter.get("schema", {})),
                "says": parameter.get("description", ""),
                "required": parameter.get("required", False),
            }
            for parameter in operation.get("parameters", [])
        ],
        "fields": _fields(document, content.get("schema", {})),
        "answer": _fields(document, data.get("items", data)),
        "many": data.get("type") == "array",
    }


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = schema
    while "$ref" in found:
        found = document["components"]["schemas"][found["$ref"].rpartition("/")[2]]
    for option in found.get("anyOf", []):
        if option.get("type") != "null":
            return {**_resolved(document, option), **{k: v for k, v in found.items() if k != "anyOf"}}
    return found  # type: ignore[no-any-return]


def _fields(document: Mapping[str, Any], schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    whole = _resolved(document, schema)
    needed = set(whole.get("required", ()))
    return [
        {
            "name": name,
            "type": _type(document, field),
            "required": name in needed,
            "says": _resolved(document, field).get("description", ""),
            "default": field.get("default"),
        }
        for name, field in whole.get("properties", {}).items()
    ]


def _type(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    found = _resolved(document, schema)
    if "enum" in found:
        return " | ".join(str(word) or '""' for word in found["enum"])
    if found.get("type") == "array":
        return f"list of {_type(document, found.get('items', {}))}"
    nullable = any(option.get("type") == "null" for option in schema.get("anyOf", []))
    return f"{found.get('type', 'any')}{' or null' if nullable else ''}"
