"""Figures of the dashboard, and the lines under them."""

from __future__ import annotations

import re

from flask import Flask, render_template_string

from devflow.features.dashboard import rules
from devflow.features.deployments.service.figures import Figures

NOTHING = Figures(0, 0, 0, 0, None)


def test_days_without_deployments_are_gaps_and_no_success() -> None:
    daily = [Figures(2, 1, 1, 1, 30.0), NOTHING, Figures(1, 1, 0, 1, 20.0)]
    current = Figures(3, 2, 1, 1, 25.0)
    sparks = {s["label"]: s["spark"] for s in rules.stats({"current": current, "earlier": NOTHING, "daily": daily})}
    assert sparks["Success rate"] == [50.0, None, 100.0]
    assert sparks["Time to live, median"] == [30.0, None, 20.0]
    assert sparks["Deployments"] == [2, 0, 1]


def drawn(app: Flask, values: list[float | None]) -> list[str]:
    with app.test_request_context():
        found = render_template_string("{% import 'components/ui.html' as ui %}{{ ui.spark(values) }}", values=values)
    return re.findall(r'<polyline class="l" points="([^"]*)"', found)


def test_a_line_breaks_where_there_is_nothing(app: Flask) -> None:
    assert len(drawn(app, [1.0, 2.0, 3.0])) == 1
    runs = drawn(app, [None, 1.0, 2.0, None, None, 3.0])
    assert [len(set(run.split())) for run in runs] == [2, 1]
    assert runs[0].startswith("20.0,") and runs[1].startswith("100.0,")
    assert drawn(app, [None, 1.0, None]) == drawn(app, [None, None]) == drawn(app, []) == []
