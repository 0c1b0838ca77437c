"""The main story on PostgreSQL and Redis, and the migrations of both databases."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask
from flask_migrate import Migrate, check, downgrade, upgrade
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from devflow.adapters.fakes.edge import FakeEdge
from devflow.app import ROOT, create_app
from devflow.core.db import db
from devflow.ports.edge import Edge
from tests.journeys import test_deploy
from tests.journeys.platform import Platform, Repository, User, free_port, python_app, wait_for
from tests.postgres_fixture import fresh_database

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server of our own."""
    program, port = shutil.which("redis-server"), free_port()
    assert program, "redis-server is missing. Install the package redis-server."
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"]
    folder = tmp_path_factory.mktemp("redis")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([program, *options, "--dir", str(folder)], stdout=log, stderr=log)
    url = f"redis://127.0.0.1:{port}/0"
    wait_for(lambda: _answers(url), 20, "the start of Redis")
    yield url
    server.terminate()
    server.wait(10)


def _answers(url: str) -> bool:
    try:
        return bool(redis.Redis.from_url(url).ping())
    except redis.ConnectionError:
        return False


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Platform]:
    """`devflow up` with PostgreSQL and Redis; takes the place of the embedded one in this module."""
    with fresh_database() as url:
        stores = {"DATABASE_URL": url, "REDIS_URL": redis_url}
        running = Platform(tmp_path_factory.mktemp("grown-up"), stores).start()
        running.user("Administrator")
        yield running
        running.remove()


test_the_main_story = test_deploy.test_from_a_repository_to_a_live_address_and_back


def test_nothing_is_kept_in_files_of_its_own(platform: Platform, redis_url: str) -> None:
    assert not list(platform.folder.rglob("*.db"))
    keys = {key.decode() for key in redis.Redis.from_url(redis_url).keys("*")}  # type: ignore[union-attr]
    assert any("devflow" in key or "LIMIT" in key for key in keys), keys


def test_a_killed_worker_is_replaced_here_too(platform: Platform, user: User, tmp_path: Path) -> None:
    code = Repository(tmp_path / "app")
    code.commit(python_app("slow start", before="import time; time.sleep(3)"))
    project = user.project(code.folder)
    deployment = user.deploy(project)
    wait_for(lambda: user.deployment(deployment)["current_step"].startswith("Waiting until"), 60, "the check")
    platform.kill("worker")
    done = user.ended(deployment, 60)
    assert done["status"] == "success", user.log(done)
    assert platform.visit(f"{project['slug']}.localhost").text == "slow start"
    assert "attempt 2" in user.log(done)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """An app on an empty database."""
    options = {"environment": "test", "data_dir": tmp_path / "data"}
    if request.param == "sqlite":
        yield _migrating(options)
        return
    with fresh_database() as url:
        app = _migrating({**options, "database_url": url})
        yield app
        with app.app_context():
            db.session.remove()
            db.engine.dispose()


def _migrating(options: dict[str, Any]) -> Flask:
    app = create_app(options, {Edge: FakeEdge()})
    Migrate(app, db, directory=str(ROOT / "migrations"), render_as_batch=True, compare_type=True)
    return app


def test_migrations_go_up_down_and_up_with_rows_present(empty: Flask) -> None:
    _upgrade(empty)
    _fill(empty)
    with empty.app_context():
        downgrade(revision="0002")
        _namesake("older", "ANN-2")
        _namesake("other", "ANN")
    _upgrade(empty)
    with empty.app_context():
        names = db.session.scalars(text("select username from users order by id"))
        assert list(names) == ["ann", "ANN-2", "ANN-3"]
        with pytest.raises(IntegrityError):
            _namesake("third", "Ann")
        db.session.remove()
        downgrade(revision="base")
        assert set(inspect(db.engine).get_table_names()) <= {"alembic_version", "log_chunk"}
    _upgrade(empty)
    _fill(empty)


def _namesake(user_id: str, username: str) -> None:
    """An account whose name differs from another's in capitals only, as earlier versions let it."""
    db.session.execute(
        text(
            "insert into users (id, name, email, username, email_verified, role, is_active, subscription_plan, "
            "created_at, updated_at) values (:id, 'N', :email, :name, true, 'user', true, 'free', :now, :now)"
        ),
        {"id": f"z-{user_id}", "email": f"{user_id}@example.com", "name": username, "now": "2026-01-01 00:00:00+00:00"},
    )
    db.session.commit()


def _upgrade(app: Flask) -> None:
    with app.app_context():
        upgrade()
        check()  # the tables are what the models say; ends the process otherwise


def _fill(app: Flask) -> None:
    """An account with a project and a deployment, a service account, and what hangs on them."""
    client = app.test_client()
    person = {"name": "Ann", "email": "ann@example.com", "password": "correct horse"}
    token = client.post("/api/v1/auth/register", json=person).get_json()["data"]["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    repository = {"repository_url": "https://example.com/team/app.git", "environment_variables": {"A": "b"}}
    made = client.post("/api/v1/projects", json=repository, headers=headers)
    assert made.status_code == 201, made.text
    project = made.get_json()["data"]["id"]
    assert client.post(f"/api/v1/projects/{project}/deploy", json={}, headers=headers).status_code == 201
    machine = client.post("/api/v1/team/service-accounts", json={"name": "Nightly"}, headers=headers)
    assert machine.status_code == 201, machine.text
    tokens = f"/api/v1/team/service-accounts/{machine.get_json()['data']['id']}/tokens"
    assert client.post(tokens, json={"name": "ci"}, headers=headers).status_code == 201
    tables = ("users", "teams", "projects", "deployments", "deployment_stages", "jobs", "outbox")
    with app.app_context():
        counts = {table: db.session.execute(text(f"SELECT count(*) FROM {table}")).scalar() for table in tables}
    assert all(counts.values()), counts
