"""What a worker writes, against what others write at the same moment, where writers do not wait in one line."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest
from flask import Flask

from devflow.core.access import SYSTEM
from devflow.core.db import db
from devflow.core.errors import Cancelled
from devflow.core.settings import Settings
from devflow.features.deployments.models import Deployment
from devflow.features.deployments.service import running
from devflow.web.ports import port
from tests.conftest import Person
from tests.postgres_fixture import postgres_url

__all__ = ["postgres_url"]
WAITING = "select count(*) from pg_locks where not granted"


@pytest.fixture
def settings(postgres_url: str) -> dict[str, Any]:
    return {"database_url": postgres_url}


def test_a_worker_does_not_take_on_what_is_just_being_cancelled(app: Flask, ann: Person, postgres_url: str) -> None:
    ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git", name="Shop")
    deployment_id = ann.call("POST", "/projects/shop/deploy", 201)["id"]
    raised: list[BaseException] = []

    def begin() -> None:
        with app.app_context():
            try:
                running.begin(SYSTEM, deployment_id, 1, port(Settings))
            except Cancelled as error:
                raised.append(error)

    worker = threading.Thread(target=begin)
    with psycopg.connect(postgres_url) as person, psycopg.connect(postgres_url, autocommit=True) as onlooker:
        person.execute("update deployments set status = 'cancelled', active_key = null where id = %s", (deployment_id,))
        worker.start()
        while worker.is_alive() and onlooker.execute(WAITING).fetchone() == (0,):
            worker.join(0.02)
    worker.join(20)
    with app.app_context():
        row = db.session.get_one(Deployment, deployment_id)
        assert (row.status, row.active, len(raised)) == ("cancelled", False, 1)
