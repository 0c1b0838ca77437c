"""What tokens are used for: counted in memory, written together, never twice."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from devflow.core.clock import now
from devflow.core.db import db
from devflow.features.tokens.models import ApiToken, TokenUsage, TokenValue
from devflow.features.tokens.service import counting
from devflow.features.tokens.service.counting import Counter, Use
from tests.conftest import Person
from tests.features.tokens.conftest import Token


def use(token_id: str, **more: Any) -> Use:
    given = {"value": "v", "method": "GET", "route": "/r", "failed": False, "ip": "203.0.113.7", "agent": "curl"}
    return Use(token_id=token_id, **{**given, **more})


def test_requests_are_counted_by_day_and_route(ann: Person, token: Token) -> None:
    project = ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git")["id"]
    ci = token(ann, ["read"])
    for _ in range(3):
        ci.call("GET", f"/projects/{project}")
    ci.client.get(f"/api/projects/{project}", headers={"Authorization": f"Bearer {ci.token}"})
    ci.call("PUT", f"/projects/{project}", 403, name="x")
    ci.call("GET", "/projects/none", 404)
    ci.call("GET", "/nothing/here", 404)
    used = ann.call("GET", f"/dev/tokens/{ci.id}/usage")
    assert used["token_id"] == ci.id and used["total_requests"] == used["requests_today"] == 7
    assert used["error_count"] == 3 and used["last_ip"] == "127.0.0.1" and used["last_used_at"]
    assert len(used["by_day"]) == 30 and used["by_day"][-1]["requests"] == 7
    assert sum(day["requests"] for day in used["by_day"]) == 7
    routes = {(row["method"], row["path"]): row["requests"] for row in used["by_endpoint"]}
    assert routes == {
        ("GET", "/api/v1/projects/{project_id}"): 5,
        ("PUT", "/api/v1/projects/{project_id}"): 1,
        ("GET", "(no such address)"): 1,
    }
    assert used["by_endpoint"][0]["requests"] == 5
    assert set(used) == {
        "token_id", "total_requests", "requests_today", "error_count", "last_used_at", "last_ip", "by_day",
        "by_endpoint",
    }  # fmt: skip


def test_days_without_requests_are_nothing(ann: Person, token: Token) -> None:
    ci = token(ann)
    ci.call("GET", "/auth/verify")
    with time_machine.travel(now() + timedelta(days=3)):
        ci.call("GET", "/auth/verify")
        for period, days in (("7d", 7), ("90d", 90), ("day", 1), ("week", 7), ("month", 30)):
            used = ci.call("GET", f"/dev/tokens/{ci.id}/usage?period={period}")
            line = [day["requests"] for day in used["by_day"]]
            assert len(line) == days and line[-1] >= 1 and (days < 4 or line[-4:-1] == [1, 0, 0])
    for period in ("1y", "0d", "91d", "07d", "Day", "d"):
        error = ann.call("GET", f"/dev/tokens/{ci.id}/usage?period={period}", 422)
        assert error["details"]["errors"][0]["message"].startswith("An hour, day, week or month")


def test_a_request_writes_nothing_by_itself(app: Flask, ann: Person, token: Token, monkeypatch: Any) -> None:
    written: list[int] = []
    monkeypatch.setattr(counting, "_write", lambda counted: written.append(len(counted.requests)))
    ci = token(ann)
    for _ in range(20):
        ci.call("GET", "/auth/verify")
    assert written == []
    app.extensions["devflow-ports"][Counter].close()
    assert written == [1]


def test_what_is_counted_is_written_before_long(app: Flask, ann: Person, token: Token) -> None:
    ci = token(ann)
    counter = Counter(app.app_context, every=0.05)
    for _ in range(5):
        counter.add(use(ci.id))
    deadline = time.monotonic() + 10
    while total(app) < 5:
        assert time.monotonic() < deadline, "it was never written"
        time.sleep(0.01)
    counter.add(use(ci.id))
    counter.close()  # the end of the process
    assert total(app) == 6


def total(app: Flask) -> int:
    with app.app_context():
        return db.session.scalar(select(func.sum(TokenUsage.requests))) or 0


def test_last_use_is_written_at_most_once_a_minute(app: Flask, ann: Person, token: Token) -> None:
    ci = token(ann)
    counter = Counter(app.app_context)
    start = now()

    def used_at(seconds: float, ip: str) -> tuple[Any, str]:
        with time_machine.travel(start + timedelta(seconds=seconds), tick=False), app.app_context():
            counter.add(use(ci.id, ip=ip))
            counter.flush()
            row = db.session.get(ApiToken, ci.id)
            assert row is not None
            return row.last_used_at, row.last_ip

    first = used_at(0, "203.0.113.1")
    assert first == (start, "203.0.113.1")
    assert used_at(59, "203.0.113.2") == first
    assert used_at(61, "203.0.113.3") == (start + timedelta(seconds=61), "203.0.113.3")
    assert used_at(-3600, "203.0.113.4")[1] == "203.0.113.3"  # a clock that jumps back overwrites nothing
    assert total(app) == 4


def test_to_be_used_is_no_change(app: Flask, ann: Person, token: Token) -> None:
    ci = token(ann)
    with app.app_context():
        before = db.session.get(ApiToken, ci.id).updated_at  # type: ignore[union-attr]
        db.session.rollback()
        counter = Counter(app.app_context)
        counter.add(use(ci.id))
        counter.flush()
        assert db.session.get(ApiToken, ci.id).updated_at == before  # type: ignore[union-attr]


def test_old_values_count_their_own_uses(app: Flask, ann: Person, token: Token) -> None:
    old = token(ann)
    made = ann.call("PATCH", f"/dev/tokens/{old.id}/rotate", grace_hours=2)
    new = Person(old.client, old.id, old.email, made["token"])
    for who in (old, old, new):
        who.call("GET", "/auth/verify")
    assert ann.call("GET", f"/dev/tokens/{old.id}/usage")["total_requests"] == 3
    with app.app_context():
        uses = {row.until is None: row.uses for row in db.session.scalars(select(TokenValue))}
    assert uses == {True: 0, False: 2}


def test_odd_methods_and_long_addresses_fit(app: Flask, ann: Person, token: Token) -> None:
    ci = token(ann)
    ci.client.open("/api/v1/projects", method="BREW-COFFEE", headers={"Authorization": f"Bearer {ci.token}"})
    counter = Counter(app.app_context)
    counter.add(use(ci.id, route="/r" * 500, agent="a" * 900, ip="1" * 99))
    with app.app_context():
        counter.flush()
    methods = {row["method"] for row in ann.call("GET", f"/dev/tokens/{ci.id}/usage")["by_endpoint"]}
    assert methods == {"OTHER", "GET"}


def test_a_failed_write_is_made_up_for_once(app: Flask, ann: Person, token: Token, monkeypatch: Any) -> None:
    ci = token(ann)
    counter = Counter(app.app_context)
    write = counting._write

    def broken(counted: Any) -> None:
        write(counted)
        raise OperationalError("insert", {}, Exception("the database went away"))

    counter.add(use(ci.id))
    with app.app_context():
        monkeypatch.setattr(counting, "_write", broken)
        counter.flush()
        counter.flush()
        assert total(app) == 0
        counter.add(use(ci.id))
        monkeypatch.setattr(counting, "_write", write)
        counter.flush()
        counter.flush()
    assert total(app) == 2


def test_a_token_that_is_gone_by_then_keeps_nobody_elses_figures(app: Flask, ann: Person, token: Token) -> None:
    gone, kept = token(ann), token(ann)
    counter = Counter(app.app_context)
    counter.add(use(gone.id))
    counter.add(use(kept.id))
    with app.app_context():
        db.session.delete(db.session.get(ApiToken, gone.id))
        db.session.commit()
        counter.flush()
    assert total(app) == 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork_each_process_writes_its_own(app: Flask, ann: Person, token: Token) -> None:
    ci = token(ann)
    counter = Counter(app.app_context, every=600)
    counter.add(use(ci.id))
    child = os.fork()
    if child == 0:
        failed = 1
        try:
            with app.app_context():
                db.engine.dispose(close=False)
                counter.add(use(ci.id))
                counter.add(use(ci.id))
                counter.flush()
            failed = 0
        finally:
            os._exit(failed)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert total(app) == 2
    counter.close()
    assert total(app) == 3


def test_figures_add_up_on_both_databases(app: Flask, ann: Person, token: Token, tmp_path: Path) -> None:
    ci = token(ann)
    counters = [Counter(app.app_context) for _ in range(3)]
    with app.app_context():
        for round_ in range(4):
            for counter in counters:
                counter.add(use(ci.id, failed=round_ == 0))
                counter.flush()
        [row] = db.session.scalars(select(TokenUsage)).all()
        assert (row.requests, row.errors) == (12, 3)
