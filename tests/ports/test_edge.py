"""What every edge promises, asked of Caddy and of the fake alike; then what only the real one can show."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import psutil
import pytest

from devflow.adapters.caddy.client import CaddyEdge
from devflow.adapters.caddy.render import EdgeSettings, config
from devflow.adapters.fakes.edge import FakeEdge
from devflow.core.errors import Invalid, StepFailed, Unavailable
from devflow.ports.edge import AppRelease, Edge, Site, StaticRelease
from tests.ports.edge_fixtures import (  # noqa: F401
    Load,
    Upstream,
    edge_fixture,
    edge_process_fixture,
    eventually,
    folder_fixture,
    free_port,
    upstream_fixture,
)

SHOP = Site("shop", ("shop.localhost", "www.shop.localhost"), "app")
Start = Callable[..., Upstream]


@pytest.fixture(params=["caddy", "fake"])
def any_edge(request: pytest.FixtureRequest) -> Edge:
    return FakeEdge() if request.param == "fake" else request.getfixturevalue("edge")


def test_an_unknown_host_is_told_so(any_edge: Edge) -> None:
    answer = any_edge.ask("nobody.localhost", "/", 5)
    assert (answer.status, answer.version) == (404, None)
    assert b"No site answers at nobody.localhost" in answer.body


def test_a_site_without_a_release_says_so(any_edge: Edge) -> None:
    any_edge.publish([SHOP])
    answer = any_edge.ask("shop.localhost", "/", 5)
    assert (answer.status, answer.version) == (503, None)
    assert b"no running version" in answer.body
    assert any_edge.current("shop") is None


@pytest.mark.parametrize(("closed", "says"), [("maintenance", b"maintenance"), ("inactive", b"switched off")])
def test_a_closed_site_says_so_and_names_the_release_behind_it(
    any_edge: Edge, upstream: Start, closed: Literal["maintenance", "inactive"], says: bytes
) -> None:
    any_edge.publish([replace(SHOP, closed=closed)])
    answer = any_edge.ask("shop.localhost", "/", 5)
    assert (answer.status, answer.version, answer.closed) == (503, None, True) and says in answer.body
    any_edge.switch("shop", AppRelease("v1", "127.0.0.1", upstream("v1").server_port))
    answer = any_edge.ask("shop.localhost", "/any/where", 5)
    assert (answer.status, answer.version, answer.closed) == (503, "v1", True) and says in answer.body
    any_edge.publish([SHOP])
    answer = any_edge.ask("shop.localhost", "/", 5)
    assert (answer.status, answer.version, answer.closed) == (200, "v1", False)


def test_switch_decides_who_answers_and_withdraw_ends_it(any_edge: Edge, upstream: Start) -> None:
    one, two = (AppRelease(name, "127.0.0.1", upstream(name).server_port) for name in ("v1", "v2"))
    any_edge.switch("shop", one)  # before the site is published: it is live from its first request on
    any_edge.publish([SHOP])
    assert any_edge.ask("www.shop.localhost", "/", 5).version == "v1"
    any_edge.switch("shop", two)
    assert any_edge.ask("shop.localhost", "/", 5).version == "v2"
    assert any_edge.current("shop") == two
    any_edge.withdraw("shop")
    any_edge.withdraw("shop")
    any_edge.withdraw("never-heard-of")
    assert any_edge.ask("shop.localhost", "/", 5).status == 503
    assert any_edge.current("shop") is None


def test_static_release_serves_files(any_edge: Edge, folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out/index.html").write_text("<h1>Hello</h1>")
    any_edge.publish([SHOP])
    any_edge.switch("shop", StaticRelease("s1", folder / "out"))
    answer = any_edge.ask("shop.localhost", "/", 5)
    assert (answer.status, answer.version, answer.body) == (200, "s1", b"<h1>Hello</h1>")
    assert any_edge.current("shop") == StaticRelease("s1", folder / "out")


def test_a_site_no_longer_published_is_gone(any_edge: Edge) -> None:
    any_edge.publish([SHOP, Site("blog", ("blog.localhost",), "static")])
    any_edge.publish([SHOP])
    assert any_edge.ask("blog.localhost", "/", 5).status == 404
    assert any_edge.ask("shop.localhost", "/", 5).status == 503


def test_an_edge_that_is_down_is_unavailable(folder: Path) -> None:
    fake = FakeEdge()
    fake.down = True
    for down in (CaddyEdge(folder, http_port=free_port()), fake):
        assert down.ready() is False
        with pytest.raises(Unavailable):
            down.publish([SHOP])
        with pytest.raises(Unavailable):
            down.ask("shop.localhost", "/", 1)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a b",
        "<script>",
        "shop.localhost/x",
        "shop..localhost",
        "-a.localhost",
        "{env.HOME}",
        "ü.de",
        "a:80",
        "*",
        "x" * 64 + ".de",
    ],
)
def test_a_host_that_is_none_is_refused_and_the_others_stay(edge: CaddyEdge, host: str) -> None:
    edge.publish([SHOP])
    with pytest.raises(Invalid):
        edge.publish([SHOP, Site("bad", (host,), "app")])
    assert edge.ask("shop.localhost", "/", 5).status == 503


@pytest.mark.parametrize("key", ["", "..", "../x", "a/b", ".hidden", "a{b}", "x" * 129])
def test_a_key_or_version_never_leaves_its_folder(edge: CaddyEdge, key: str) -> None:
    with pytest.raises(Invalid):
        edge.publish([Site(key, ("x.localhost",), "app")])
    with pytest.raises(Invalid):
        edge.switch(key, AppRelease("v1", "127.0.0.1", 80))
    with pytest.raises(Invalid):
        edge.switch("shop", AppRelease(key, "127.0.0.1", 80))


@pytest.mark.parametrize(
    ("address", "port"), [("", 80), ("{env.HOME}", 80), ("a b", 80), ("127.0.0.1", 0), ("127.0.0.1", 70000)]
)
def test_an_address_that_is_none_is_refused(edge: CaddyEdge, address: str, port: int) -> None:
    with pytest.raises(Invalid):
        edge.switch("shop", AppRelease("v1", address, port))


def test_a_host_belongs_to_one_site_only(edge: CaddyEdge) -> None:
    with pytest.raises(Invalid, match="leads to site shop already"):
        edge.publish([SHOP, Site("thief", ("SHOP.localhost",), "app")])
    with pytest.raises(Invalid, match="leads to the dashboard already"):
        edge.publish([Site("thief", ("devflow.localhost",), "app")])


def test_hosts_ignore_case_and_port(edge: CaddyEdge, upstream: Start) -> None:
    edge.publish([Site("shop", ("Shop.LocalHost",), "app")])
    edge.switch("shop", AppRelease("v1", "127.0.0.1", upstream("v1").server_port))
    assert edge.ask("SHOP.localhost", "/", 5).status == 200


def test_junk_in_the_host_header_harms_nothing(edge: CaddyEdge) -> None:
    for host in ("<script>alert(1)</script>", "{env.PATH}", "a'onload='x", "%00"):
        answer = edge.ask(host, "/", 5)
        assert answer.status in (400, 404)
        assert b"<script>" not in answer.body
        assert b"/usr/bin" not in answer.body


def test_publishing_the_same_again_changes_nothing(edge: CaddyEdge, upstream: Start) -> None:
    """A load closes idle keep-alive connections; an equal one must not."""
    sites = [SHOP, Site("blog", ("blog.localhost",), "static")]
    edge.publish(sites)
    edge.switch("shop", AppRelease("v1", "127.0.0.1", upstream("v1").server_port))
    with Load(edge.settings.http_port, "shop.localhost") as load:
        for _ in range(20):
            edge.publish(reversed(sites))
        load.more(50)
    assert load.failures == []


def test_twenty_switches_under_load_drop_nothing(edge: CaddyEdge, upstream: Start) -> None:
    edge.publish([SHOP])
    apps = [AppRelease(name, "127.0.0.1", upstream(name).server_port) for name in ("v0", "v1")]
    edge.switch("shop", apps[0])
    with Load(edge.settings.http_port, "shop.localhost") as load:
        for turn in range(1, 21):
            edge.switch("shop", apps[turn % 2])
            assert edge.ask("shop.localhost", "/", 5).version == f"v{turn % 2}"
            load.more(40)
    assert load.failures == []
    assert {body for _, body, _ in load.seen} == {b"v0", b"v1"}


def test_the_old_app_may_stop_right_after_the_switch(edge: CaddyEdge, upstream: Start) -> None:
    edge.publish([SHOP])
    running = upstream("v0")
    edge.switch("shop", AppRelease("v0", "127.0.0.1", running.server_port))
    with Load(edge.settings.http_port, "shop.localhost") as load:
        for turn in range(1, 6):
            following = upstream(f"v{turn}")
            edge.switch("shop", AppRelease(f"v{turn}", "127.0.0.1", following.server_port))
            running.stop()
            running = following
            load.more(40)
    assert load.failures == []


def test_static_to_static_to_app_and_back_under_load_drops_nothing(
    edge: CaddyEdge, folder: Path, upstream: Start
) -> None:
    edge.publish([SHOP])
    releases: list[StaticRelease | AppRelease] = []
    for name in ("s0", "s1", "s2"):
        (folder / name).mkdir()
        (folder / name / "index.html").write_text(name)
        releases.append(StaticRelease(name, folder / name))
    releases.append(AppRelease("a0", "127.0.0.1", upstream("a0").server_port))
    edge.switch("shop", releases[0])
    with Load(edge.settings.http_port, "shop.localhost") as load:
        for turn in range(1, 25):
            edge.switch("shop", releases[turn % 4])
            load.more(30)
    assert load.failures == []
    assert {body for _, body, _ in load.seen} == {b"s0", b"s1", b"s2", b"a0"}
    assert all(body.decode() == version for _, body, version in load.seen if body != b"a0" and version != "a0")


def test_a_new_address_of_the_same_version_is_used(edge: CaddyEdge, upstream: Start) -> None:
    """A restarted container may come back under another address."""
    edge.publish([SHOP])
    edge.switch("shop", AppRelease("v1", "127.0.0.1", upstream("before").server_port))
    edge.switch("shop", AppRelease("v1", "127.0.0.1", upstream("after").server_port))
    assert edge.ask("shop.localhost", "/", 5).body == b"after"


def test_a_request_waits_for_an_app_that_is_about_to_answer(edge: CaddyEdge, upstream: Start) -> None:
    edge.publish([SHOP])
    reserved = socket.socket()  # bound but not listening: refused, and nobody else gets the port meanwhile
    reserved.bind(("127.0.0.1", 0))
    port = reserved.getsockname()[1]
    edge.switch("shop", AppRelease("v1", "127.0.0.1", port))
    with subprocess.Popen(
        ["curl", "-s", "-H", "Host: shop.localhost", f"http://127.0.0.1:{edge.settings.http_port}/"], stdout=-1
    ) as client:
        asked = psutil.Process(client.pid)
        eventually(lambda: any(c.status == psutil.CONN_ESTABLISHED for c in asked.net_connections()))
        assert client.poll() is None
        reserved.close()
        upstream("awake", port)
        assert client.communicate(timeout=10)[0] == b"awake"


def test_old_releases_are_forgotten(edge: CaddyEdge, folder: Path) -> None:
    for turn in range(10):
        edge.switch("shop", AppRelease(f"v{turn}", "127.0.0.1", 9))
    kept = {place.name for place in (folder / "edge/sites/shop/releases").iterdir()}
    assert {"app-v9", "app-v8"} <= kept
    assert len(kept) <= 4


def test_sites_come_and_go_while_releases_are_switched(edge: CaddyEdge) -> None:
    """Whatever the order, what a switch reported as done is there."""
    site = Site("busy", ("busy.localhost",), "app")
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            edge.publish([SHOP])
            edge.publish([SHOP, site])

    neighbour = threading.Thread(target=come_and_go)
    neighbour.start()
    for turn in range(50):
        edge.switch("busy", AppRelease(f"v{turn}", "127.0.0.1", 9))
        assert edge.current("busy") == AppRelease(f"v{turn}", "127.0.0.1", 9)
        edge.withdraw("busy")
    stop.set()
    neighbour.join()


def test_two_hundred_sites(edge: CaddyEdge, upstream: Start) -> None:
    port = upstream("one").server_port
    sites = [Site(f"p{number}", (f"p{number}.localhost",), "app") for number in range(200)]
    edge.publish(sites)
    edge.switch("p199", AppRelease("v1", "127.0.0.1", port))
    assert edge.ask("p199.localhost", "/", 5).body == b"one"
    assert edge.ask("p0.localhost", "/", 5).status == 503


def test_render_is_pure_and_names_no_release() -> None:
    settings = EdgeSettings(Path("/x"), dashboard_hosts=("devflow.localhost",))
    assert config(settings, [SHOP]) == config(settings, [SHOP])
    assert "v1" not in str(config(settings, [SHOP])["apps"])


def test_in_flight_says_zero_only_when_the_site_is_quiet(edge: CaddyEdge, upstream: Start) -> None:
    edge.publish([SHOP])
    app = upstream("v1")
    release = AppRelease("v1", "127.0.0.1", app.server_port)
    edge.switch("shop", release)
    edge.ask("shop.localhost", "/", 5)
    assert edge.in_flight(release) == 0
    with subprocess.Popen(
        ["curl", "-s", "-H", "Host: shop.localhost", f"http://127.0.0.1:{edge.settings.http_port}/slow"], stdout=-1
    ):
        eventually(lambda: edge.in_flight(release) is None)
        app.tick.set()
    assert eventually(lambda: edge.in_flight(release) == 0)
    assert edge.in_flight(AppRelease("unheard", "127.0.0.1", 1)) is None


def test_a_missing_folder_is_not_published(edge: CaddyEdge, folder: Path) -> None:
    with pytest.raises(StepFailed) as failed:
        edge.switch("shop", StaticRelease("s1", folder / "nothing"))
    assert failed.value.cause == "output_missing"


def test_ask_keeps_its_timeout(edge: CaddyEdge, upstream: Start) -> None:
    edge.publish([SHOP])
    edge.switch("shop", AppRelease("v1", "127.0.0.1", upstream("v1").server_port))
    began = time.monotonic()
    with pytest.raises(Unavailable, match="timed out"):
        edge.ask("shop.localhost", "/slow", 0.5)
    assert time.monotonic() - began < 3
