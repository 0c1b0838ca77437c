"""The team a browser looks at, kept in its session."""

from __future__ import annotations

from flask import session

_KEY = "team"


def remember(team_id: str) -> None:
    session[_KEY] = team_id


def remembered() -> str | None:
    found = session.get(_KEY)
    return found if isinstance(found, str) else None
