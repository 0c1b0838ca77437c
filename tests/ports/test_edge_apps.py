"""Apps behind a real edge: sockets, streams, uploads, headers, and what people see when an app is dead."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import websocket

from devflow.adapters.caddy.client import CaddyEdge
from devflow.ports.edge import AppRelease, Site
from tests.ports.edge_fixtures import (  # noqa: F401
    EdgeProcess,
    Upstream,
    edge_fixture,
    edge_process_fixture,
    eventually,
    folder_fixture,
    free_port,
    upstream_fixture,
)

SHOP = Site("shop", ("shop.localhost",), "app")


@pytest.fixture
def app(edge: CaddyEdge, upstream: Callable[..., Upstream]) -> Upstream:
    """An app that is live at shop.localhost."""
    server = upstream("v1")
    edge.publish([SHOP])
    edge.switch("shop", AppRelease("v1", "127.0.0.1", server.server_port))
    return server


@contextmanager
def asked(
    edge: CaddyEdge, path: str, method: str = "GET", host: str = "shop.localhost", **more: object
) -> Iterator[http.client.HTTPResponse]:
    headers = {"Host": host} | dict(more.pop("headers", {}))  # type: ignore[call-overload]
    connection = http.client.HTTPConnection("127.0.0.1", edge.settings.http_port, timeout=20)
    connection.request(method, path, headers=headers, **more)  # type: ignore[arg-type]
    yield connection.getresponse()
    connection.close()


def test_a_websocket_survives_loads_and_switches(
    edge: CaddyEdge, app: Upstream, upstream: Callable[..., Upstream]
) -> None:
    socket = websocket.create_connection(
        f"ws://127.0.0.1:{edge.settings.http_port}/ws", host="shop.localhost", timeout=10
    )
    socket.send("before")
    assert socket.recv() == "before"
    edge.publish([SHOP, Site("more", ("more.localhost",), "static")])
    edge.switch("shop", AppRelease("v2", "127.0.0.1", upstream("v2").server_port))
    edge.publish([SHOP])
    socket.send("after")
    assert socket.recv() == "after"
    socket.close()


def test_events_arrive_unbuffered_and_survive_a_load(edge: CaddyEdge, app: Upstream) -> None:
    with asked(edge, "/sse") as response:
        assert response.readline() == b"data: first\n"  # the app sends the second only when this one was seen
        edge.publish([SHOP, Site("more", ("more.localhost",), "static")])
        app.tick.set()
        assert response.read() == b"\ndata: second\n\n"


def test_a_slow_answer_survives_a_load_and_a_switch(
    edge: CaddyEdge, app: Upstream, upstream: Callable[..., Upstream]
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", edge.settings.http_port, timeout=20)
    connection.request("GET", "/slow", headers={"Host": "shop.localhost"})
    eventually(lambda: edge.in_flight(AppRelease("v1", "127.0.0.1", app.server_port)) is None)
    edge.publish([SHOP, Site("more", ("more.localhost",), "static")])
    edge.switch("shop", AppRelease("v2", "127.0.0.1", upstream("v2").server_port))
    app.tick.set()
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"v1")
    assert response.getheader("X-DevFlow-Release") == "v1"
    connection.close()


def test_a_large_upload_passes(edge: CaddyEdge, app: Upstream) -> None:
    size = 64 * 1024 * 1024
    with asked(edge, "/upload", "POST", body=bytes(size)) as response:
        assert (response.status, response.read()) == (200, str(size).encode())


def test_headers_towards_the_app(edge: CaddyEdge, app: Upstream) -> None:
    forged = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil",
        "X-DevFlow-Release": "forged",
    }
    with asked(edge, "/headers", headers=forged) as response:
        seen = dict(line.split(": ", 1) for line in response.read().decode().lower().splitlines())
    assert seen["host"] == "shop.localhost"
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-host"] == "shop.localhost"
    assert "x-devflow-release" not in seen


def test_a_trusted_proxy_may_say_who_asks(folder: Path, upstream: Callable[..., Upstream]) -> None:
    running = EdgeProcess(folder / "edge", trusted_proxies=("127.0.0.0/8",))
    try:
        edge = running.start()
        edge.publish([SHOP])
        edge.switch("shop", AppRelease("v1", "127.0.0.1", upstream("v1").server_port))
        with asked(
            edge, "/headers", headers={"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
        ) as response:
            text = response.read().decode()
        assert "X-Forwarded-For: 203.0.113.9, 127.0.0.1" in text
        assert "X-Forwarded-Proto: https" in text
    finally:
        running.stop()


def test_only_the_edge_says_which_release_answered(edge: CaddyEdge, app: Upstream) -> None:
    with asked(edge, "/") as response:
        assert response.headers.get_all("X-DevFlow-Release") == ["v1"]


def test_a_dead_app_is_said_to_be_dead(edge: CaddyEdge) -> None:
    edge.publish([SHOP])
    edge.switch("shop", AppRelease("v1", "127.0.0.1", free_port()))
    answer = edge.ask("shop.localhost", "/", 20)
    assert (answer.status, answer.version) == (502, "v1")
    assert b"The app does not answer" in answer.body


def test_a_request_that_crashes_the_app_is_sent_once(edge: CaddyEdge, app: Upstream) -> None:
    answer = edge.ask("shop.localhost", "/crash", 20)
    assert (answer.status, answer.version) == (502, "v1")
    assert app.asked == ["/crash"]


def test_a_dead_dashboard_page_asks_again_by_itself(edge: CaddyEdge) -> None:
    answer = edge.ask("devflow.localhost", "/projects", 20)
    assert answer.status == 503
    assert b"DevFlow is starting" in answer.body
    assert b'http-equiv="refresh"' in answer.body


def test_the_dashboard_is_reached(folder: Path, upstream: Callable[..., Upstream]) -> None:
    port = upstream("dashboard").server_port
    running = EdgeProcess(
        folder / "edge", dashboard_hosts=("devflow.localhost",), dashboard_upstream=f"127.0.0.1:{port}"
    )
    try:
        assert running.start().ask("devflow.localhost", "/", 5).body == b"dashboard"
    finally:
        running.stop()


@pytest.mark.parametrize("host", ["nobody.localhost", "shop.localhost", "devflow.localhost"])
def test_own_pages_need_nothing_from_elsewhere(edge: CaddyEdge, host: str) -> None:
    edge.publish([SHOP])
    with asked(edge, "/", host=host) as response:
        text = response.read().decode()
        assert response.getheader("Cache-Control") == "no-store"
        assert "default-src 'none'" in (response.getheader("Content-Security-Policy") or "")
    assert "prefers-color-scheme:dark" in text
    assert not any(word in text for word in ("<script", "http://", "https://", "src=", "{http."))


def test_the_access_log_tells_much_and_no_secret(edge: CaddyEdge, app: Upstream, folder: Path) -> None:
    headers = {
        "Authorization": "Bearer s3cret",
        "Cookie": "session=s3cret",
        "X-Api-Key": "s3cret",
        "Referer": "http://a.localhost/?token=s3cret",
        "User-Agent": "Browser/1",
    }
    with asked(edge, "/page?token=s3cret&api_key=s3cret&q=shoes", headers=headers) as response:
        response.read()
    for path in ("/invitations/s3cret/accept", "/api/v1/team/invitations/s3cret?invite_token=s3cret&n=1"):
        with asked(edge, path) as response:
            response.read()
    log = folder / "edge/access.log"
    eventually(lambda: log.exists() and "/team/invitations/" in log.read_text())
    text = eventually(lambda: log.exists() and "/page" in log.read_text() and log.read_text())
    assert "s3cret" not in text
    line = json.loads(next(line for line in text.splitlines() if "/page" in line))
    assert line["request"]["host"] == "shop.localhost"
    assert "q=shoes" in line["request"]["uri"]
    assert (line["status"], line["size"], line["site"], line["release"], line["user_agent"]) == (
        200,
        2,
        "shop",
        "v1",
        "Browser/1",
    )
    assert line["duration"] > 0
    assert log.stat().st_mode & 0o077 == 0
