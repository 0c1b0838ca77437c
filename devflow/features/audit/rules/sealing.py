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


def sealed_text(values: Mapping[str, Any]) -> str:
    """One spelling of an entry, whatever database it was read from."""
    plain = {name: _plain(values[name]) for name in FIELDS}
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
