"""What a link of the chain vouches for."""

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

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def sealed_text(values: Mapping[str, Any]) -> str:
    """One spelling of an entry, whatever database or file it was read from."""
    return _ENCODER.encode(plain(values))


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an entry as JSON has them; times to the microsecond."""
    found = {name: values[name] for name in FIELDS}
    if isinstance(found["created_at"], datetime):
        found["created_at"] = found["created_at"].isoformat()
    return found
