"""Health: what is claimed was asked, and what hangs does not hang the answer."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import psycopg
import pytest
from flask import Flask

from devflow.adapters.fakes.edge import FakeEdge
from devflow.app import create_app
from devflow.core.db import db
from devflow.features.health.service import Checks
from devflow.ports.edge import Edge
from tests.conftest import SETTINGS
from tests.postgres_fixture import cluster, fresh_database


def test_the_version_is_the_package_s(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/health").get_json()["data"]["version"] == version("devflow")
    info = client.get("/api/v1/info").get_json()["data"]
    assert info["version"] == version("devflow") and info["api_version"] == "1.0"
    assert {"accounts", "projects", "deployments"} <= set(info["features"])
    assert info["openapi_url"].endswith("/api/v1/openapi.json") and info["documentation_url"].endswith("/docs")


def test_one_that_hangs_is_down_and_asked_once_at_a_time() -> None:
    checks, free, asked = Checks(), threading.Event(), list[int]()

    def hang() -> None:
        asked.append(1)
        free.wait(30)

    for _ in range(5):
        began = time.monotonic()
        found = checks.run({"slow": hang, "good": lambda: None}, patience=0.1)
        assert time.monotonic() - began < 2
        assert (found["slow"]["status"], found["slow"]["error"]) == ("down", "Timeout")
        assert found["good"]["status"] == "ok"
    assert len(asked) == 1
    free.set()
    until = time.monotonic() + 10
    while checks.run({"slow": lambda: None}, patience=0.5)["slow"]["status"] != "ok":
        assert time.monotonic() < until


@pytest.fixture
def url() -> Iterator[str]:
    with fresh_database() as made:
        yield made


def _servers(url: str) -> list[int]:
    """The process of the cluster and all of its children."""
    with psycopg.connect(url) as connection:
        row = connection.execute("select pg_backend_pid()").fetchone()
        assert row
        parent = int(Path(f"/proc/{row[0]}/stat").read_text().rpartition(")")[2].split()[1])
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [parent, *map(int, children)]


@pytest.mark.slow
def test_a_database_that_hangs_makes_it_unready_within_two_seconds(tmp_path: Path, url: str) -> None:
    made = create_app({**SETTINGS, "data_dir": tmp_path, "database_url": url}, {Edge: FakeEdge()})
    with made.app_context():
        db.create_all()
    client = made.test_client()
    assert client.get("/health/ready").status_code == 200
    stopped = _servers(f"{cluster().url}/postgres")
    for pid in stopped:
        _signal(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = client.get("/health/ready")
        assert answer.status_code == 503 and time.monotonic() - began < 3
        error = answer.get_json()["error"]
        assert error["code"] == "SERVICE_UNAVAILABLE" and "database" in error["message"]
        assert error["details"]["checks"]["database"]["error"] == "Timeout"
        whole = client.get("/health")
        assert whole.status_code == 503 and "database" in whole.get_json()["error"]["message"]
        assert client.get("/health/live").status_code == 200
    finally:
        for pid in stopped:
            _signal(pid, signal.SIGCONT)
    until = time.monotonic() + 20
    while client.get("/health/ready").status_code != 200:
        assert time.monotonic() < until, "it does not recover"
    with made.app_context():
        db.session.remove()
        db.engine.dispose()


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:  # a connection that ended meanwhile
        pass
