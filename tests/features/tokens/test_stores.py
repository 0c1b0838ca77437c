"""On each of the two databases: rotations at once, figures that add up, odd input."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from devflow.core.crypto import digest
from devflow.core.db import db
from devflow.features.tokens.models import ApiToken, TokenUsage, TokenValue
from devflow.features.tokens.service.counting import Counter, Use
from tests.conftest import Person
from tests.features.tokens.conftest import Token


@pytest.fixture
def settings(each_store: dict[str, Any]) -> dict[str, Any]:
    return each_store


def test_two_rotations_at_once_leave_exactly_one_value(app: Flask, ann: Person, token: Token) -> None:
    old = token(ann)
    values: list[str] = []
    start = threading.Barrier(4)

    def rotate() -> None:
        start.wait()
        asking = Person(app.test_client(), ann.id, ann.email, ann.token)
        values.append(asking.call("PATCH", f"/dev/tokens/{old.id}/rotate")["token"])

    threads = [threading.Thread(target=rotate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(values)) == 4
    with app.app_context():
        rows = db.session.scalars(select(TokenValue).where(TokenValue.token_id == old.id)).all()
        assert len(rows) == 5
        [current] = [row.digest for row in rows if row.until is None]
    statuses = [
        app.test_client().get("/api/v1/auth/verify", headers={"Authorization": f"Bearer {value}"}).status_code
        for value in values
    ]
    assert sorted(statuses) == [200, 401, 401, 401]
    assert digest(values[statuses.index(200)]) == current


def test_processes_that_write_at_the_same_moment_add_up(app: Flask, ann: Person, token: Token) -> None:
    tokens = [token(ann).id for _ in range(5)]
    start = threading.Barrier(4)

    def work() -> None:
        counter = Counter(app.app_context, every=600)
        start.wait()
        for _ in range(10):
            for token_id in tokens:
                counter.add(Use(token_id, "v", "GET", "/r", False, "203.0.113.7", "curl"))
            with app.app_context():
                counter.flush()
                db.session.remove()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with app.app_context():
        assert [row.requests for row in db.session.scalars(select(TokenUsage))] == [40] * 5
        assert all(row.last_used_at for row in db.session.scalars(select(ApiToken)))


def test_odd_input_is_refused_and_not_stored(app: Flask, ann: Person, token: Token) -> None:
    ci = token(ann)
    for path in ("a%00b", "%F0%9F%A6%86", "x" * 500, "' or 1=1 --"):
        answer = ann.client.get(f"/api/v1/dev/tokens/{path}/usage", headers={"Authorization": f"Bearer {ann.token}"})
        assert answer.status_code == 404, path
    ci.client.open("/api/v1/nothing/a%00b", method="BREW", headers={"Authorization": f"Bearer {ci.token}"})
    assert ann.call("GET", f"/dev/tokens/{ci.id}/usage")["total_requests"] == 1
