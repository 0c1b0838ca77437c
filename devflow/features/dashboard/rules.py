"""How figures are told on the dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def stats(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Four figures of the last seven days, each with its change and its line."""
    current, earlier, daily = figures["current"], figures["earlier"], figures["daily"]
    rate, before = current.success_rate, earlier.success_rate
    seconds, slower = current.median_seconds, earlier.median_seconds
    return [
        {
            "label": "Deployments",
            "value": str(current.total),
            **_change(current.total - earlier.total if earlier.total else None, "", good=None),
            "spark": [day.total for day in daily],
        },
        {
            "label": "Active projects",
            "value": str(current.projects),
            "change": f"{daily[-1].projects} deployed today",
            "tone": "",
            "spark": [day.projects for day in daily],
        },
        {
            "label": "Success rate",
            "value": "–" if rate is None else f"{rate * 100:.1f} %".replace(".0 %", " %"),
            **_change(None if rate is None or before is None else round((rate - before) * 100, 1), " pt", good=True),
            "spark": [None if day.success_rate is None else day.success_rate * 100 for day in daily],
        },
        {
            "label": "Time to live, median",
            "value": "–" if seconds is None else f"{seconds:g} s",
            **_change(None if seconds is None or slower is None else round(seconds - slower), " s", good=False),
            "spark": [day.median_seconds for day in daily],
        },
    ]


def _change(difference: float | None, unit: str, *, good: bool | None) -> dict[str, str]:
    if not difference:
        return {"change": "", "tone": ""}
    sign = "+" if difference > 0 else "−"
    tone = "" if good is None else "ok" if (difference > 0) == good else "err"
    return {"change": f"{sign}{abs(difference):g}{unit}", "tone": tone}
