"""The team a browser looks at, kept in its session."""

from __future__ import annotations

from flask import g, session

_KEY = "team"


def remember(team_id: str) -> None:
    session[_KEY] = team_id


def remembered() -> str | None:
    found = session.get(_KEY)
    return found if isinstance(found, str) else None


def show_in(team_id: str) -> None:
    """This answer is about a thing of that team, whichever one the browser looks at otherwise."""
    g.team_shown = team_id


def shown() -> str | None:
    """The team of this answer's switcher and crumbs."""
    return g.get("team_shown") or remembered()
