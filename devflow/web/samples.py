"""Examples for the document: values as they look in real life, chosen by the name and type of a field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DEEPEST = 6
_BY_NAME: dict[str, Any] = {
    "id": "6f1c1c0e-9b0d-4b3f-8a54-2f6c0b7c9a11",
    "email": "ada@example.com",
    "name": "Shop",
    "full_name": "Ada Lovelace",
    "username": "ada",
    "password": "correct horse battery",
    "repository_url": "https://github.com/acme/shop.git",
    "repository": "acme/shop",
    "branch": "main",
    "slug": "shop",
    "url": "https://shop.example.com",
    "commit_hash": "9fceb02d0ae598e95dc970b74767f19372d61af8",
    "ip": "203.0.113.7",
    "request_id": "01935f2e7c0b7d4a",
    "timestamp": "2026-01-31T12:00:00.000Z",
    "version": "1.0",
    "permission": "projects:read",
    "scopes": ["read"],
    "permissions": ["projects:read"],
}
_BY_ENDING: tuple[tuple[str, Any], ...] = (
    ("_id", _BY_NAME["id"]),
    ("_at", "2026-01-31T12:00:00.000Z"),
    ("_url", "https://example.com"),
    ("_name", "Ada"),
    ("email", "ada@example.com"),
    ("token", "…"),
    ("password", "correct horse battery"),
    ("_percent", 97.4),
)
_BY_TYPE: dict[str, Any] = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "null": None, "object": {}}


def sample(schema: Mapping[str, Any], named: Mapping[str, Any], name: str = "", depth: int = 0) -> Any:
    """A value of this schema. Optional fields are shown too, as deep as a reader can follow."""
    if "$ref" in schema:
        return sample(named.get(schema["$ref"].rpartition("/")[2], {}), named, name, depth)
    for fixed in ("const", "example", "default"):
        if schema.get(fixed) is not None:
            return schema[fixed]
    if "enum" in schema:
        return next((word for word in schema["enum"] if word), schema["enum"][0])
    options = [one for word in ("anyOf", "oneOf", "allOf") for one in schema.get(word, [])]
    if options:
        return sample(next((one for one in options if one.get("type") != "null"), options[0]), named, name, depth)
    return _by_type(schema, named, name, depth)


def _by_type(schema: Mapping[str, Any], named: Mapping[str, Any], name: str, depth: int) -> Any:
    kind = schema.get("type")
    if kind == "array":
        known = _BY_NAME.get(name)
        if isinstance(known, list):
            return known
        return [] if depth > _DEEPEST else [sample(schema.get("items", {}), named, name.removesuffix("s"), depth + 1)]
    if "properties" in schema and depth <= _DEEPEST:
        return {key: sample(value, named, key, depth + 1) for key, value in schema["properties"].items()}
    if kind == "string":
        return _text(schema, name)
    if kind in ("integer", "number"):
        return schema.get("minimum", _BY_TYPE[kind])
    return _BY_TYPE.get(str(kind))


def _text(schema: Mapping[str, Any], name: str) -> str:
    found = _BY_NAME.get(name) or next((value for ending, value in _BY_ENDING if name.endswith(ending)), None)
    if not isinstance(found, str):
        found = _BY_NAME["timestamp"] if schema.get("format") == "date-time" else _BY_TYPE["string"]
    return str(found)
