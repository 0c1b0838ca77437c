"""Pure decisions about projects: names, addresses, variables."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from urllib.parse import urlsplit

RESERVED = frozenset(
    {"admin", "api", "assets", "dashboard", "devflow", "docs", "edge", "health", "mail", "status", "www"}
)
"""Names that are no project's: they look like the platform's own."""
SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OURS = frozenset({"PORT"})
"""Variables DevFlow sets itself from the project's settings."""


def slug_from(name: str) -> str:
    """A host label made from a name: `My Café` -> `my-cafe`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].strip("-") or "app"


def is_slug(text: str) -> bool:
    return SLUG.fullmatch(text) is not None and text not in RESERVED


def short_name(repository: str) -> str:
    """`https://host/owner/app.git` -> `app`."""
    path = urlsplit(repository).path if "://" in repository else repository.rpartition(":")[2]
    return posixpath.basename(path.rstrip("/")).removesuffix(".git") or "app"


def parse_variables(text: str) -> tuple[dict[str, str], list[str]]:
    """KEY=VALUE lines as a mapping, and what is wrong with the rest.

    Understands `export KEY=…`, comments, empty lines and quotes around a value (also over several lines).
    """
    found: dict[str, str] = {}
    wrong: list[str] = []
    lines = iter(enumerate(text.replace("\r\n", "\n").split("\n"), 1))
    for number, line in lines:
        stripped = line.strip().removeprefix("export ").strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not VARIABLE.fullmatch(name):
            wrong.append(f"Line {number} is not KEY=VALUE.")
            continue
        quote = value[:1]
        if quote in ('"', "'"):
            while not (len(value) > 1 and value.endswith(quote)):
                _, more = next(lines, (0, None))
                if more is None:
                    wrong.append(f"Line {number}: the quote is not closed.")
                    break
                value += "\n" + more
            value = value.strip(quote) if quote == "'" else value[1:-1].replace("\\n", "\n").replace('\\"', '"')
        found[name] = value
    return found, wrong
