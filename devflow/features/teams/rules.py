"""Pure decisions about teams."""

from __future__ import annotations

import re
import unicodedata

from devflow.core.access import TEAM_ROLES, Actor, Scoped
from devflow.core.errors import Forbidden

ROLES: tuple[tuple[str, str, str], ...] = (
    ("viewer", "Viewer", "Sees projects, deployments and logs"),
    ("member", "Developer", "Creates projects and deploys them"),
    ("admin", "Admin", "Also deletes projects and manages members"),
    ("owner", "Owner", "Everything, and may delete the team"),
)
"""Each role in a team: its word, its title and what it allows in a line."""
TITLES = {word: title for word, title, _ in ROLES}


def slug_from(name: str) -> str:
    """`Ada Lovelace & Co` -> `ada-lovelace-co`; at most 63 characters, never empty."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].strip("-") or "team"


def lacking(actor: Actor, role: str, team: Scoped) -> list[str]:
    """What this role allows in the team and the actor may not do there, by their roles or by their token."""
    return sorted(p.value for p in TEAM_ROLES[role] if not actor.may(p, team))


def check_may_give(actor: Actor, role: str, team: Scoped) -> None:
    """Nobody gives a role that allows more than they may do themselves, nor touches somebody who has it."""
    if missing := lacking(actor, role, team):
        text = f"Only somebody who may do all that the role {TITLES[role].lower()} allows can give or take it."
        raise Forbidden(text, permission=missing[0])


def roles_to_give(actor: Actor, team: Scoped) -> list[tuple[str, str, str]]:
    """The roles this actor may give in the team, for forms."""
    return [row for row in ROLES if not lacking(actor, row[0], team)]


def masked(email: str) -> str:
    """`bob@example.com` -> `b…@example.com`."""
    name, _, domain = email.partition("@")
    return f"{name[:1]}…@{domain}"
