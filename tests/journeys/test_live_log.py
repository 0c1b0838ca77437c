"""The log socket as the contract describes it, through the edge: lines, states, the end; resume; refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import websocket

from tests.journeys.platform import Platform, Repository, User, python_app, wait_for

pytestmark = pytest.mark.slow


def connect(platform: Platform, path: str, **query: Any) -> websocket.WebSocket:
    words = "&".join(f"{name}={value}" for name, value in query.items())
    url = f"ws://127.0.0.1:{platform.http_port}/api/v1{path}?{words}"
    return websocket.create_connection(url, timeout=60, host=f"localhost:{platform.http_port}", suppress_origin=True)


def messages(socket: websocket.WebSocket) -> tuple[list[dict[str, Any]], int]:
    """Everything until the server closes, and the code it closes with."""
    found = []
    while True:
        code, data = socket.recv_data()
        if code == websocket.ABNF.OPCODE_CLOSE:
            return found, int.from_bytes(data[:2], "big")
        found.append(json.loads(data))


def test_a_whole_deployment_is_told_line_by_line(
    platform: Platform, user: User, repository: Callable[..., Repository]
) -> None:
    project = user.project(repository("told", python_app()))
    deployment = user.deploy(project)
    path = f"/deployments/{deployment['id']}/logs/stream"
    socket = connect(platform, path, token=user.token)
    socket.send(json.dumps({"type": "subscribe", "deploymentId": deployment["id"]}))
    heard, code = messages(socket)

    assert code == 1000
    lines = [message for message in heard if message["type"] == "log"]
    assert [line["line"] for line in lines] == list(range(1, len(lines) + 1))
    assert all(line["message"].startswith("[0") and line["timestamp"].endswith("Z") for line in lines)
    states = [message["status"] for message in heard if message["type"] == "status_update"]
    assert states[-1] == "success" and {"building", "deploying"} & set(states)
    last = heard[-1]
    assert last["type"] == "deployment_complete" and last["status"] == "success" and last["url"].startswith("http")

    # The same story afterwards: over REST, and from any line on.
    whole = user.call("GET", f"/deployments/{deployment['id']}/logs?limit=1000")
    assert [line["line"] for line in whole["logs"]] == [line["message"] for line in lines]
    resumed = connect(platform, path, token=user.token, since=len(lines) - 2, batch=1)
    rows = [row for message in messages(resumed)[0] if message["type"] == "lines" for row in message["lines"]]
    assert [row[0] for row in rows] == [len(lines) - 1, len(lines)]


def test_strangers_are_refused_with_the_codes_of_the_contract(
    platform: Platform, user: User, repository: Callable[..., Repository]
) -> None:
    deployment = user.deploy(user.project(repository("private", python_app())))
    path = f"/deployments/{deployment['id']}/logs/stream"
    assert messages(connect(platform, path))[1] == 4401
    assert messages(connect(platform, path, token="rubbish"))[1] == 4401
    assert messages(connect(platform, path, token=platform.user("Bob").token))[1] == 4404
    assert messages(connect(platform, "/deployments/none/logs/stream", token=user.token))[1] == 4404
    user.ended(deployment)


def test_ten_sockets_are_enough(platform: Platform, user: User) -> None:
    open_ones = [connect(platform, "/deployments/stream", token=user.token) for _ in range(10)]
    for socket in open_ones:
        assert json.loads(socket.recv())["type"] == "deployments_changed"
    assert messages(connect(platform, "/deployments/stream", token=user.token))[1] == 4429
    for socket in open_ones:
        socket.close()

    def again() -> bool:
        socket = connect(platform, "/deployments/stream", token=user.token)
        try:
            return socket.recv_data()[0] == websocket.ABNF.OPCODE_TEXT
        finally:
            socket.close()

    assert wait_for(again, 10, "a free seat")


def test_the_list_hears_of_every_move(platform: Platform, user: User, repository: Callable[..., Repository]) -> None:
    project = user.project(repository("watched", python_app()))
    socket = connect(platform, "/deployments/stream", token=user.token)
    assert json.loads(socket.recv())["active"] == 0
    deployment = user.deploy(project)
    heard = [json.loads(socket.recv())]
    while heard[-1]["active"]:
        heard.append(json.loads(socket.recv()))
    assert len(heard) >= 3 and user.ended(deployment)["status"] == "success"
    socket.close()


def test_a_tokens_query_never_reaches_a_log(platform: Platform, user: User) -> None:
    socket = connect(platform, "/deployments/stream", token=user.token)
    socket.recv()
    socket.close()
    for file in (platform.folder / "log" / "devflow.log", platform.folder / "edge" / "access.log", platform.log):
        assert not file.exists() or user.token not in file.read_text()
