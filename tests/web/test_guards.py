"""Guards of open connections on bad days: the database is away, or one of them fails."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from devflow.core.errors import DomainError
from devflow.web.guards import Guards

AWAY = OperationalError("select", {}, Exception("away"))


def _refuse(error: DomainError) -> None:
    raise AssertionError(error)


def test_a_database_that_is_away_is_asked_at_a_pace() -> None:
    asked, often = list[float](), threading.Event()

    def context() -> AbstractContextManager[object]:
        asked.append(time.monotonic())
        if len(asked) == 5:
            often.set()
        raise AWAY

    guards = Guards(context, pace=0.05)
    guards.watch(object(), lambda: None, _refuse)
    assert often.wait(10)
    guards.stop()
    assert asked[4] - asked[0] > 0.15


@pytest.mark.parametrize("failure", [AWAY, RuntimeError("broken")])
def test_one_guard_that_fails_keeps_no_other_from_being_asked(app: Flask, failure: Exception) -> None:
    first, asked = [failure], threading.Event()

    def failing() -> None:
        if first:
            raise first.pop()

    guards = Guards(app.app_context, pace=0.05)
    with guards._changed:  # both come at once
        guards.watch("failing", failing, _refuse)
        guards.watch("other", asked.set, _refuse)
    assert asked.wait(5)
    guards.stop()
