"""Pure decisions about teams."""

from __future__ import annotations

import re
import unicodedata


def slug_from(name: str) -> str:
    """`Ada Lovelace & Co` -> `ada-lovelace-co`; at most 63 characters, never empty."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].strip("-") or "team"
