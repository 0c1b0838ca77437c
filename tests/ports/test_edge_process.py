"""The edge as a process: restarts, kills, certificates."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import ssl
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devflow.adapters.caddy.client import CaddyEdge
from devflow.adapters.caddy.render import EdgeSettings, config
from devflow.core.errors import Invalid, Unavailable
from devflow.ports.edge import AppRelease, Site
from tests.ports.edge_fixtures import (  # noqa: F401
    EdgeProcess,
    Upstream,
    edge_fixture,
    edge_process_fixture,
    eventually,
    folder_fixture,
    free_port,
    listens,
    upstream_fixture,
)

SHOP = Site("shop", ("shop.localhost",), "app", tls=True)
PLAIN = Site("plain", ("plain.localhost",), "app")
Start = Callable[..., Upstream]


@pytest.mark.parametrize("kill", [False, True])
def test_sites_survive_a_restart(edge_process: EdgeProcess, upstream: Start, kill: bool) -> None:
    edge = edge_process.edge
    edge.publish([SHOP])
    edge.switch("shop", AppRelease("v1", "127.0.0.1", upstream("v1").server_port))
    edge_process.stop(kill)
    assert edge.ready() is False
    edge.switch("shop", AppRelease("v2", "127.0.0.1", upstream("v2").server_port))  # works on files: needs no process
    edge_process.start()
    assert edge.ask("shop.localhost", "/", 5).version == "v2"
    edge.publish([SHOP])


def test_a_damaged_record_does_not_stop_the_edge(edge_process: EdgeProcess) -> None:
    edge_process.edge.publish([SHOP])
    edge_process.stop()
    for text in ('[{"key": "shop"', '[{"odd": 1}]', "7", '[{"key":"../x","hosts":["a b"],"kind":"app"}]'):
        (edge_process.edge.folder / "sites.json").write_text(text)
        edge_process.start()
        assert edge_process.edge.ask("shop.localhost", "/", 5).status == 404
        edge_process.stop()


def test_new_settings_meet_the_old_sites(edge_process: EdgeProcess, folder: Path) -> None:
    edge_process.edge.publish([SHOP])
    edge_process.stop()
    moved = EdgeProcess(folder / "edge")
    try:
        assert moved.start().ask("shop.localhost", "/", 5).status == 503
    finally:
        moved.stop()


def test_only_the_owner_may_give_orders_or_read_the_configuration(edge: CaddyEdge) -> None:
    edge.publish([SHOP])
    for name in ("admin.sock", "caddy.json", "sites.json"):
        assert stat.S_IMODE((edge.folder / name).stat().st_mode) == 0o600


def test_orders_by_address(folder: Path) -> None:
    running = EdgeProcess(folder / "edge", admin=f"127.0.0.1:{free_port()}")
    try:
        running.start().publish([SHOP])
        assert running.edge.ask("shop.localhost", "/", 5).status == 503
    finally:
        running.stop()


def test_a_folder_that_cannot_hold_the_socket_is_refused(folder: Path) -> None:
    with pytest.raises(Invalid, match="too long"):
        CaddyEdge(folder / ("x" * 100)).command()
    with pytest.raises(Invalid, match="brace"):
        CaddyEdge(folder / "{env.HOME}").command()


def test_a_refused_configuration_leaves_the_old_one(edge_process: EdgeProcess) -> None:
    edge = edge_process.edge
    edge.publish([SHOP])
    taken = Upstream("other")
    try:
        greedy = CaddyEdge(edge.folder, http_port=taken.server_port)
        with pytest.raises(Unavailable, match="serves as before"):
            greedy.publish([PLAIN])
    finally:
        taken.stop()
    assert edge.ask("shop.localhost", "/", 5).status == 503
    assert "plain" not in (edge.folder / "sites.json").read_text()


@pytest.fixture
def secure(folder: Path) -> Iterator[EdgeProcess]:
    running = EdgeProcess(folder / "edge", tls="internal", dashboard_hosts=("devflow.localhost",))
    running.start()
    yield running
    running.stop()


def test_own_certificates(secure: EdgeProcess, upstream: Start) -> None:
    edge = secure.edge
    edge.publish([SHOP, PLAIN])
    edge.switch("shop", AppRelease("v1", "127.0.0.1", upstream("secure").server_port))
    edge.switch("plain", AppRelease("v1", "127.0.0.1", upstream("plain").server_port))
    assert eventually(lambda: _answers(edge, "shop.localhost")) == b"secure"  # checked against the edge's own root
    assert edge.ask("plain.localhost", "/", 5).body == b"plain"
    assert (edge.folder / "certificates/pki/authorities/local/root.crt").is_file()


def test_plain_http_leads_to_https(secure: EdgeProcess) -> None:
    secure.edge.publish([SHOP])
    connection = http.client.HTTPConnection("127.0.0.1", secure.edge.settings.http_port, timeout=5)
    connection.request("GET", "/a?b=c", headers={"Host": "shop.localhost"})
    response = connection.getresponse()
    assert response.status == 308
    assert response.getheader("Location") == f"https://shop.localhost:{secure.edge.settings.https_port}/a?b=c"
    connection.close()


def test_a_host_without_a_certificate_is_not_answered(secure: EdgeProcess) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", secure.edge.settings.https_port, timeout=5, context=context)
    with pytest.raises(ssl.SSLError):
        connection.request("GET", "/")


def test_the_own_root_never_enters_the_hosts_trust() -> None:
    document = config(EdgeSettings(Path("/x"), tls="internal"), [SHOP])
    assert document["apps"]["pki"]["certificate_authorities"]["local"]["install_trust"] is False


def _answers(edge: CaddyEdge, host: str) -> bytes | None:
    try:
        return edge.ask(host, "/", 5).body
    except Unavailable:
        return None


@pytest.fixture
def authority(folder: Path) -> Iterator[Callable[[int, int], tuple[str, str]]]:
    """Pebble, the ACME test server, which checks each name at the edge's own ports."""
    program = shutil.which("pebble")
    assert program, "pebble is not installed: apt-get install pebble"
    openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = [
        "-addext",
        "subjectAltName=IP:127.0.0.1,DNS:localhost",
        "-keyout",
        str(folder / "key.pem"),
        "-out",
        str(folder / "ca.pem"),
    ]
    subprocess.run([*openssl, *names], check=True, capture_output=True)
    running: list[subprocess.Popen[bytes]] = []

    def start(http_port: int, https_port: int) -> tuple[str, str]:
        port, management = free_port(), free_port()
        pebble = {
            "listenAddress": f"127.0.0.1:{port}",
            "managementListenAddress": f"127.0.0.1:{management}",
            "certificate": str(folder / "ca.pem"),
            "privateKey": str(folder / "key.pem"),
            "httpPort": http_port,
            "tlsPort": https_port,
        }
        (folder / "pebble.json").write_text(json.dumps({"pebble": pebble}))
        off = [part for name in ("-http01", "-https01", "-tlsalpn01", "-defaultIPv6") for part in (name, "")]
        resolver, steering = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        dns = subprocess.Popen(["pebble-challtestsrv", "-dns01", resolver, "-management", steering, *off])
        server = subprocess.Popen(
            [program, "-config", str(folder / "pebble.json"), "-dnsserver", resolver],
            env=os.environ | {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        running.extend([dns, server])
        eventually(
            lambda: listens(port) and listens(int(resolver.rpartition(":")[2]))
        )  # Caddy tries again after 60 s only
        return f"https://127.0.0.1:{port}/dir", str(folder / "ca.pem")

    yield start
    for process in running:
        process.kill()
        process.wait()


def test_certificates_by_acme(folder: Path, authority: Callable[[int, int], tuple[str, str]], upstream: Start) -> None:
    ports = {"http_port": free_port(), "https_port": free_port()}
    directory, ca = authority(ports["http_port"], ports["https_port"])
    running = EdgeProcess(
        folder / "edge", tls="acme", acme_directory=directory, acme_ca_file=ca, acme_email="ops@example.com", **ports
    )
    try:
        edge = running.start()
        edge.publish(
            [Site("shop", ("shop.example.com",), "app", tls=True), Site("own", ("own.localhost",), "app", tls=True)]
        )
        for key in ("shop", "own"):
            edge.switch(key, AppRelease("v1", "127.0.0.1", upstream(key).server_port))
        assert eventually(lambda: _answers(edge, "own.localhost")) == b"own"  # a name no public authority signs
        assert eventually(lambda: _answers(edge, "shop.example.com"), 60) == b"shop"
        issued = list((edge.folder / "certificates/certificates").glob("*/shop.example.com/*.crt"))
        assert len(issued) == 1
        text = subprocess.run(
            ["openssl", "x509", "-noout", "-issuer", "-in", str(issued[0])], check=True, capture_output=True, text=True
        )
        assert "Pebble" in text.stdout
    finally:
        running.stop()
