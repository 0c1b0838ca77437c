"""Rights that end, end at once: in every process, for open sockets too."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import websocket
from flask import Flask
from werkzeug.serving import make_server

from devflow.adapters.fakes.edge import FakeEdge
from devflow.app import create_app
from devflow.core.db import db
from devflow.core.epoch import rights_changed
from devflow.core.settings import Settings
from devflow.features.roles.models import Assignment, Role
from devflow.features.teams.models import Member
from devflow.ports.edge import Edge
from tests.conftest import SETTINGS, Join, Person
from tests.free_ports import free_port
from tests.web.test_sockets import closing

SECOND = 1.0


@contextmanager
def serving(app: Flask) -> Iterator[int]:
    server = make_server("127.0.0.1", free_port(), app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()


@pytest.fixture
def elsewhere(app: Flask) -> Iterator[int]:
    """The same DevFlow in another web process: an app of its own on the same database."""
    settings: Settings = app.extensions["devflow-ports"][Settings]
    other = create_app({**SETTINGS, "data_dir": settings.folder}, {Edge: FakeEdge()})
    with serving(other) as port:
        yield port
    other.extensions["devflow-sockets"].stop()
    with other.app_context():
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def watched(ann: Person) -> str:
    """A deployment of Ann's that goes on, so that its socket stays open."""
    ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git", name="Shop")
    return str(ann.call("POST", "/projects/shop/deploy", 201)["id"])


def look(port: int, who: Person, deployment_id: str) -> websocket.WebSocket:
    url = f"ws://127.0.0.1:{port}/api/v1/deployments/{deployment_id}/logs/stream?batch=1"
    socket = websocket.create_connection(url, header=[f"Authorization: Bearer {who.token}"], timeout=10)
    socket.recv()  # the first state: the guard stands by now
    return socket


def closed_within_a_second(socket: websocket.WebSocket, began: float) -> int:
    code, _ = closing(socket)
    assert time.monotonic() - began < SECOND
    return code


def test_a_sign_out_closes_sockets_in_every_process(ann: Person, watched: str, elsewhere: int) -> None:
    socket = look(elsewhere, ann, watched)
    began = time.monotonic()
    ann.call("POST", "/auth/logout")
    assert closed_within_a_second(socket, began) == 4401


@pytest.mark.parametrize("role", ["viewer", "member"])
def test_who_leaves_a_team_sees_nothing_more_of_it(
    app: Flask, ann: Person, person: Callable[..., Person], join: Join, watched: str, elsewhere: int, role: str
) -> None:
    bob = person("Bob")
    join(bob, ann.call("GET", "/projects/shop")["team_id"], role)
    socket = look(elsewhere, bob, watched)
    began = time.monotonic()
    with app.app_context():
        db.session.query(Member).filter(Member.user_id == bob.id, Member.role == role).update({"status": "removed"})
        rights_changed()
        db.session.commit()
    assert closed_within_a_second(socket, began) == 4404
    bob.call("GET", f"/deployments/{watched}", 404)


def test_a_permission_that_is_taken_away_counts_for_open_sockets(
    app: Flask, ann: Person, person: Callable[..., Person], join: Join, watched: str, elsewhere: int
) -> None:
    bob, shop = person("Bob"), ann.call("GET", "/projects/shop")
    join(bob, shop["team_id"], "viewer")
    socket = look(elsewhere, bob, watched)
    began = time.monotonic()
    with app.app_context():
        role = Role(name="no logs", permissions=["deployments:read"])
        db.session.add(role)
        db.session.flush()
        db.session.add(Assignment(user_id=bob.id, role_id=role.id, scope="project", place=shop["id"], effect="remove"))
        rights_changed()
        db.session.commit()
    assert closed_within_a_second(socket, began) == 4403
    assert bob.call("GET", f"/deployments/{watched}", 403)["code"] == "FORBIDDEN"


@pytest.mark.parametrize(("method", "body"), [("PATCH", {"is_active": False}), ("DELETE", {})])
def test_a_service_account_that_is_stopped_watches_nothing_more(
    app: Flask, ann: Person, watched: str, elsewhere: int, method: str, body: dict[str, Any]
) -> None:
    team = ann.call("GET", "/projects/shop")["team_id"]
    account = ann.call("POST", "/team/service-accounts", 201, team_id=team, name="CI", role="viewer")
    address = f"/team/service-accounts/{account['id']}"
    value = ann.call("POST", f"{address}/tokens", 201, name="watcher", scopes=["read"])["token"]
    socket = look(elsewhere, Person(app.test_client(), account["id"], "", value), watched)
    began = time.monotonic()
    ann.call(method, address, **body)
    assert closed_within_a_second(socket, began) == 4401


def test_others_stay_connected(
    app: Flask, ann: Person, person: Callable[..., Person], join: Join, watched: str, elsewhere: int
) -> None:
    bob = person("Bob")
    join(bob, ann.call("GET", "/projects/shop")["team_id"], "viewer")
    mine, his = look(elsewhere, ann, watched), look(elsewhere, bob, watched)
    bob.call("POST", "/auth/logout")
    assert closing(his)[0] == 4401
    mine.send('{"type": "ping"}')
    assert "pong" in mine.recv()
