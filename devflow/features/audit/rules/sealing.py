"""What a link of the chain, and the seal of a file, vouch for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

FIELDS = (
    "number", "id", "created_at", "actor_id", "actor_name", "actor_email", "token_id", "team_id", "action", "result",
    "status_code", "object_type", "object_id", "object_name", "changes", "ip", "agent", "request_id",
)  # fmt: skip
"""Every column but the hash itself."""
SEALED = ("first_number", "last_number", "entries", "previous_hash", "hash")
"""What the last line of a sealed file says of the lines before it."""
ANCHORED = (*SEALED, "file", "size", "sha256", "last_at")
"""What the database keeps of a sealed file."""

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def sealed_text(values: Mapping[str, Any]) -> str:
    """One spelling of an entry, whatever database or file it was read from."""
    return spelled(plain(values))


def spelled(values: Mapping[str, Any]) -> str:
    """One spelling of these values."""
    return _ENCODER.encode(values)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an entry as JSON has them; times to the microsecond."""
    return _plain(values, FIELDS)


def seal_text(values: Mapping[str, Any]) -> str:
    """One spelling of a seal."""
    return spelled(_plain(values, SEALED))


def anchor_text(values: Mapping[str, Any]) -> str:
    """One spelling of what is kept of a sealed file."""
    return spelled(_plain(values, ANCHORED))


def _plain(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    found = {name: values[name] for name in names}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in found.items()}
