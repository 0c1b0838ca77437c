"""`Idempotency-Key`: sent twice, made once, whatever comes between."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select

from devflow.adapters.fakes.edge import FakeEdge
from devflow.app import create_app
from devflow.core import replay
from devflow.core.db import db
from devflow.core.replay import Replay
from devflow.features.projects.models import Project
from devflow.ports.edge import Edge
from tests.conftest import SETTINGS, Person

BODY = {"repository_url": "https://example.com/shop.git", "name": "Shop"}


def _create(who: Person, key: str, path: str = "/projects", body: dict[str, Any] | None = None) -> Any:
    headers = {"Authorization": f"Bearer {who.token}", "Idempotency-Key": key}
    return who.client.post(f"/api/v1{path}", json=body or BODY, headers=headers)


def _projects(app: Flask) -> int:
    with app.app_context():
        return db.session.scalar(select(func.count()).select_from(Project)) or 0


def test_a_second_time_answers_the_same_and_makes_nothing(app: Flask, ann: Person) -> None:
    first, second = _create(ann, "key-1"), _create(ann, "key-1")
    assert (first.status_code, second.status_code) == (201, 201) and first.data == second.data
    assert "Idempotency-Replayed" not in first.headers and second.headers["Idempotency-Replayed"] == "true"
    assert _projects(app) == 1


def test_at_the_same_moment_one_is_made(app: Flask, ann: Person) -> None:
    together, answers = threading.Barrier(6), list[Any]()

    def ask() -> None:
        client = app.test_client()
        together.wait()
        headers = {"Authorization": f"Bearer {ann.token}", "Idempotency-Key": "key-1"}
        answers.append(client.post("/api/v1/projects", json=BODY, headers=headers))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    made = [answer for answer in answers if answer.status_code == 201]
    assert len(answers) == 6 and made and _projects(app) == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.get_json()["data"]["id"] for answer in made}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in made) == 1


def test_a_key_belongs_to_one_request(app: Flask, ann: Person) -> None:
    _create(ann, "key-1")
    other = _create(ann, "key-1", body={**BODY, "name": "Other"})
    assert other.status_code == 422 and "another request" in other.get_json()["error"]["message"]
    assert _projects(app) == 1


def test_a_key_belongs_to_one_person_and_one_address(app: Flask, ann: Person, person: Callable[..., Person]) -> None:
    bob = person("Bob")
    mine, theirs = _create(ann, "key-1"), _create(bob, "key-1")
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert mine.get_json()["data"]["id"] != theirs.get_json()["data"]["id"]
    elsewhere = _create(ann, "key-1", f"/projects/{mine.get_json()['data']['id']}/deploy", {"branch": "main"})
    assert elsewhere.status_code == 201 and "Idempotency-Replayed" not in elsewhere.headers


def test_a_refusal_is_not_remembered(app: Flask, ann: Person) -> None:
    assert _create(ann, "key-1", body={"repository_url": "rubbish"}).status_code == 422
    assert _create(ann, "key-1").status_code == 201


def test_who_may_not_any_more_gets_no_old_answer(app: Flask, ann: Person) -> None:
    assert _create(ann, "key-1").status_code == 201
    ann.call("POST", "/auth/logout")
    assert _create(ann, "key-1").status_code == 401


def test_it_survives_a_restart_and_the_answer_is_sealed(app: Flask, ann: Person, tmp_path: Path) -> None:
    first = _create(ann, "key-1", "/dev/tokens", {"name": "script", "scopes": ["read"]})
    secret = first.get_json()["data"]["token"]
    with app.app_context():
        kept = db.session.scalar(select(Replay.answer))
        db.session.rollback()
    assert kept and secret not in kept
    again = create_app({**SETTINGS, "data_dir": tmp_path / "data"}, {Edge: FakeEdge()})
    headers = {"Authorization": f"Bearer {ann.token}", "Idempotency-Key": "key-1"}
    body = {"name": "script", "scopes": ["read"]}
    second = again.test_client().post("/api/v1/dev/tokens", json=body, headers=headers)
    assert second.status_code == 201 and second.get_json()["data"]["token"] == secret
    with again.app_context():
        db.session.remove()
        db.engine.dispose()


def test_a_day_later_the_key_is_new(app: Flask, ann: Person) -> None:
    _create(ann, "key-1")
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=25)), app.app_context():
        assert replay.forget_old() == 1
        assert replay.begin("another", "request") is None


def test_what_died_on_the_way_frees_its_key(app: Flask) -> None:
    with app.app_context():
        assert replay.begin("k", "r") is None
        with time_machine.travel(datetime.now(UTC) + timedelta(minutes=3)):
            assert replay.begin("k", "r") is None


@pytest.mark.parametrize("key", ["x" * 256, "tab\there"])
def test_a_key_that_is_none_is_refused(app: Flask, ann: Person, key: str) -> None:
    assert _create(ann, key).status_code == 422 and _projects(app) == 0


def test_what_is_kept_does_not_let_a_password_be_guessed(app: Flask, ann: Person) -> None:
    body = b'{"email": "ann@example.com", "password": "correct horse"}'
    headers = {"Idempotency-Key": "key-1", "Content-Type": "application/json"}
    assert app.test_client().post("/api/v1/auth/token", data=body, headers=headers).status_code == 201
    guesses = {hashlib.sha256(b"\0".join(parts)).hexdigest() for parts in ((b"", body.hex().encode()), (body,))}
    guesses |= {hashlib.sha256(b"\0".join((b"", b"", body.hex().encode()))).hexdigest()}
    with app.app_context():
        kept = db.session.scalars(select(Replay.request)).all()
    assert kept and not guesses & set(kept)


def test_a_key_belongs_to_the_team_in_the_header_too(app: Flask, ann: Person) -> None:
    teams = [ann.call("POST", "/teams", 201, name=name)["id"] for name in ("One", "Two")]
    headers = {"Authorization": f"Bearer {ann.token}", "Idempotency-Key": "key-1"}
    body = {"email": "bob@example.com"}
    answers = [
        ann.client.post("/api/v1/team/members", json=body, headers=headers | {"X-Team-Id": team}) for team in teams
    ]
    assert [answer.status_code for answer in answers] == [201, 422]
