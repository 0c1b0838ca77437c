"""How often: groups of limits, what they count, what they tell, and what happens without their store."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from devflow.adapters.fakes.edge import FakeEdge
from devflow.app import create_app
from devflow.core.db import db
from devflow.ports.edge import Edge
from tests.conftest import SETTINGS, Person, csrf


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"rate_limit_per_minute": 12, "sensitive_limit_per_minute": 2, "token_limit_per_hour": 6}


def _get(who: Person, path: str = "/api/v1/auth/me", **headers: str) -> Any:
    return who.client.get(path, headers={"Authorization": f"Bearer {who.token}", **headers})


def test_each_answer_tells_what_is_left_and_only_a_refusal_when_to_come_back(ann: Person) -> None:
    left = []
    for _ in range(12):
        answer = _get(ann)
        assert answer.status_code == 200 and "Retry-After" not in answer.headers
        assert answer.headers["X-RateLimit-Limit"] == "12"
        assert 0 < int(answer.headers["X-RateLimit-Reset"]) - time.time() <= 61
        left.append(int(answer.headers["X-RateLimit-Remaining"]))
    assert left == list(range(11, -1, -1))
    refused = _get(ann)
    assert refused.status_code == 429 and refused.get_json()["error"]["code"] == "RATE_LIMIT_EXCEEDED"
    assert 0 < int(refused.headers["Retry-After"]) <= 60 and refused.headers["X-RateLimit-Remaining"] == "0"


def test_a_minute_later_it_starts_again_even_when_the_clock_jumps_back(ann: Person) -> None:
    began = datetime.now(UTC)
    with time_machine.travel(began, tick=False) as clock:
        while _get(ann).status_code == 200:
            pass
        clock.move_to(began + timedelta(seconds=61))
        assert _get(ann).status_code == 200
        clock.move_to(began - timedelta(days=1))
        assert _get(ann).status_code in (200, 401)  # the token may not be valid yet; nobody is locked out for a day
        refused = [answer for answer in (_get(ann) for _ in range(15)) if answer.status_code == 429]
        assert all(int(answer.headers["Retry-After"]) <= 2 * 86_400 for answer in refused)


def test_people_are_counted_apart_and_strangers_by_their_address(app: Flask, person: Callable[..., Person]) -> None:
    ann, bob = person("Ann"), person("Bob")
    while _get(ann).status_code == 200:
        pass
    assert _get(bob).status_code == 200
    stranger = app.test_client()
    codes = [stranger.get("/api/v1/auth/me", environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code for _ in range(14)]
    assert codes == [401] * 12 + [429] * 2
    assert stranger.get("/api/v1/auth/me", environ_base={"REMOTE_ADDR": "192.0.2.2"}).status_code == 401


def test_one_ipv6_network_is_one_caller(app: Flask) -> None:
    client = app.test_client()
    codes = [
        client.get("/api/v1/auth/me", environ_base={"REMOTE_ADDR": f"2001:db8::{n:x}"}).status_code for n in range(14)
    ]
    assert codes.count(429) == 2


def test_health_preflights_and_pages_are_not_counted(app: Flask, ann: Person) -> None:
    client = app.test_client()
    for _ in range(20):
        for path in ("/health", "/api/v1/health/live", "/api/health", "/login", "/terms"):
            answer = client.get(path)
            assert answer.status_code == 200 and "X-RateLimit-Limit" not in answer.headers, path
        assert client.options("/api/v1/projects").status_code == 200


def test_sensitive_operations_have_a_limit_of_their_own(ann: Person) -> None:
    def delete() -> Any:
        return ann.client.delete("/api/v1/projects/none", headers={"Authorization": f"Bearer {ann.token}"})

    codes = [delete().status_code for _ in range(3)]
    assert codes == [404, 404, 429]
    assert delete().headers["X-RateLimit-Limit"] == "2"
    assert _get(ann).status_code == 200, "another operation is not held up"


def test_the_tightest_limit_is_told(ann: Person) -> None:
    answer = ann.client.delete("/api/v1/projects/none", headers={"Authorization": f"Bearer {ann.token}"})
    assert (answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"]) == ("2", "1")


def test_an_api_token_has_an_hourly_limit_too(ann: Person) -> None:
    made = ann.call("POST", "/dev/tokens", 201, name="script", scopes=["read"])
    headers = {"Authorization": f"Bearer {made['token']}"}
    answers = [ann.client.get("/api/v1/auth/me", headers=headers) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 6 + [429]
    assert 60 < int(answers[-1].headers["Retry-After"]) <= 3600
    assert "min" in answers[-1].get_json()["error"]["message"]
    assert _get(ann).status_code == 200, "its owner goes on"


def test_a_page_refuses_in_words(app: Flask, ann: Person, browser: Callable[[Person], FlaskClient]) -> None:
    client = browser(ann)
    form = {"theme": "dark", "csrf_token": csrf(client)}
    answer = client.post("/settings/preferences", data=form)
    for _ in range(20):
        answer = client.post("/settings/preferences", data=form)
    assert answer.status_code == 429 and "Too many requests" in answer.text and "Try again in" in answer.text
    part = client.post("/settings/preferences", data=form, headers={"HX-Request": "true"})
    assert part.status_code == 429 and "Try again in" in part.headers["HX-Trigger"]


def test_without_its_store_each_process_counts_for_itself(tmp_path: Path) -> None:
    lost = {"data_dir": tmp_path / "lost", "redis_url": "redis://127.0.0.1:1/0", "rate_limit_per_minute": 3}
    app = create_app({**SETTINGS, **lost}, {Edge: FakeEdge()})
    with app.app_context():
        db.create_all()
    client, began = app.test_client(), time.monotonic()
    codes = [client.get("/api/v1/auth/me").status_code for _ in range(4)]
    assert codes == [401, 401, 401, 429] and time.monotonic() - began < 5
    ready = client.get("/health/ready")
    assert ready.status_code == 503 and ready.get_json()["error"]["details"]["checks"]["cache"]["status"] == "down"
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
