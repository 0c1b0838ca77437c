"""A database that cannot write: what a person wanted fails whole, says so, and works again afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, func, select, text

from devflow.core.db import db
from devflow.features.audit.models import Entry, Head
from devflow.features.audit.service import chain
from devflow.features.projects.models import Project
from tests.conftest import Person, csrf


@pytest.fixture
def settings(each_store: dict[str, Any]) -> dict[str, Any]:
    return each_store


@contextmanager
def read_only(app: Flask) -> Iterator[None]:
    """As a copy of the database that follows another, or a disk that was mounted so after a fault."""
    with app.app_context():
        sqlite = db.engine.dialect.name == "sqlite"

        def refuse(connection: Any, _record: Any, _proxy: Any) -> None:
            cursor = connection.cursor()
            cursor.execute("pragma query_only = on" if sqlite else "set default_transaction_read_only = on")
            cursor.close()
            if not sqlite:
                connection.commit()

        db.engine.dispose()
        event.listen(db.engine, "checkout", refuse)
        yield
        event.remove(db.engine, "checkout", refuse)
        db.session.remove()
        db.engine.dispose()


NO_ROOM = (
    "create function no_room() returns trigger language plpgsql as $$ begin raise exception "
    "'could not extend file: No space left on device' using errcode = '53100'; end $$",
    "create trigger no_room before insert on audit_logs for each row execute function no_room()",
)


@contextmanager
def full(app: Flask) -> Iterator[None]:
    """SQLite may take no page more; PostgreSQL says what it says on a full disk, at the last thing that is written."""
    with app.app_context():
        engine = db.engine
        if engine.dialect.name == "postgresql":
            _run(*NO_ROOM)
            yield
            _run("drop function no_room() cascade")
            return

        def no_room(connection: Any, _record: Any, _proxy: Any) -> None:
            pages = connection.execute("pragma page_count").fetchone()[0]
            connection.execute(f"pragma max_page_count = {pages}")

        engine.dispose()
        event.listen(engine, "checkout", no_room)
        yield
        event.remove(engine, "checkout", no_room)
        db.session.remove()
        engine.dispose()


def _run(*statements: str) -> None:
    db.session.rollback()
    for statement in statements:
        db.session.execute(text(statement))
    db.session.commit()


def state(app: Flask) -> tuple[Any, ...]:
    with app.app_context():
        counts = [db.session.scalar(select(func.count()).select_from(table)) for table in (Entry, Project)]
        return (*counts, *db.session.execute(select(Head.number, Head.hash)).one())


def create(ann: Person, name: str, **more: Any) -> Any:
    body = {"name": name, "repository_url": "https://example.com/shop.git", **more}
    return ann.client.post("/api/v1/projects", json=body, headers={"Authorization": f"Bearer {ann.token}"})


def test_on_a_database_that_only_reads_a_change_fails_whole(app: Flask, ann: Person, browser: Any) -> None:
    client = browser(ann)
    form = {"name": "Shop", "csrf_token": csrf(client)}
    before = state(app)
    with read_only(app):
        answer = create(ann, "Shop")
        page = client.post("/settings", data=form)
        read = ann.client.get("/api/v1/projects", headers={"Authorization": f"Bearer {ann.token}"})
    error = answer.get_json()["error"]
    assert (answer.status_code, error["code"]) == (503, "SERVICE_UNAVAILABLE"), answer.text
    assert "nothing was changed" in error["message"]
    assert page.status_code == 503 and "read-only" not in page.text
    assert read.status_code == 200, "reading goes on"
    assert state(app) == before
    assert create(ann, "Shop").status_code == 201
    with app.app_context():
        assert chain.verify().fault is None


def test_on_a_full_disk_a_change_fails_whole(app: Flask, ann: Person) -> None:
    before = state(app)
    with full(app):
        answers = [create(ann, f"Shop {at}", environment_variables={"A": "b" * 30_000}) for at in range(3)]
    assert [answer.status_code for answer in answers] == [503] * 3, answers[0].text
    assert answers[0].get_json()["error"]["code"] == "SERVICE_UNAVAILABLE" and "cannot write" in answers[0].text
    assert state(app) == before
    assert create(ann, "Shop").status_code == 201
    with app.app_context():
        assert chain.verify().fault is None
