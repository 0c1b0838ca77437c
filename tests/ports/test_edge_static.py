"""Static sites on a real edge: which file answers which address, how long it is cached, what is never served."""

from __future__ import annotations

import gzip
import http.client
import os
import socket
from pathlib import Path

import pytest

from devflow.adapters.caddy.client import CaddyEdge
from devflow.core.errors import StepFailed
from devflow.ports.edge import Site, StaticRelease
from tests.ports.edge_fixtures import (  # noqa: F401
    edge_fixture,
    edge_process_fixture,
    folder_fixture,
    upstream_fixture,
)

FILES = {
    "index.html": "home " * 300,
    "about.html": "about",
    "docs/index.html": "docs",
    "docs/deep/page.html": "deep",
    "style.css": "body{}",
    "app.3f2a9c1b.js": "hashed",
    "assets/index-DiwrgTda.js": "vite",
    "we ird%20ü?.txt": "weird",
    ".env": "SECRET",
    ".git/config": "SECRET",
    "docs/.hidden/x.txt": "SECRET",
    ".well-known/security.txt": "contact",
    ".well-known/.secret": "SECRET",
}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def site(edge: CaddyEdge, folder: Path) -> CaddyEdge:
    edge.publish([Site("s", ("s.localhost",), "static")])
    edge.switch("s", StaticRelease("r1", write(folder / "r1", FILES)))
    return edge


def get(edge: CaddyEdge, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", edge.settings.http_port, timeout=10)
    connection.request(
        method, path, headers={"Host": "s.localhost"} | {k.replace("_", "-"): v for k, v in headers.items()}
    )
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/about", b"about"),
        ("/about.html", b"about"),
        ("/about?x=1", b"about"),
        ("/docs/", b"docs"),
        ("/docs/deep/page", b"deep"),
        ("/style.css", b"body{}"),
        ("/we%20ird%2520%C3%BC%3F.txt", b"weird"),
        ("/.well-known/security.txt", b"contact"),
    ],
)
def test_addresses_lead_to_files(site: CaddyEdge, path: str, body: bytes) -> None:
    response, got = get(site, path)
    assert (response.status, got, response.getheader("X-DevFlow-Release")) == (200, body, "r1")


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/docs", "/docs/"),
        ("/docs?a=b", "/docs/?a=b"),
        ("/about/", "/about"),
        ("//docs", "/docs/"),
        ("///docs?x=//evil", "/docs/?x=//evil"),
    ],
)
def test_the_other_form_of_an_address_redirects(site: CaddyEdge, path: str, location: str) -> None:
    response, _ = get(site, path)
    assert (response.status, response.getheader("Location")) == (308, location)


def test_a_redirect_never_leads_to_another_host(edge: CaddyEdge, folder: Path) -> None:
    edge.publish([Site("s", ("s.localhost",), "static")])
    edge.switch("s", StaticRelease("r1", write(folder / "r1", {"evil.com/index.html": "x"})))
    response, _ = get(edge, "//evil.com")
    assert response.getheader("Location") == "/evil.com/"


@pytest.mark.parametrize(
    "path",
    [
        "/.env",
        "/.git/config",
        "/%2egit/config",
        "//.git/config",
        "/docs/.hidden/x.txt",
        "/docs/../.env",
        "/.well-known/../.env",
        "/.well-known/.secret",
        "/.well-known/%2e%2e/.env",
        "/./.env",
        "/.env/",
        "/.git",
    ],
)
def test_hidden_files_are_never_served(site: CaddyEdge, path: str) -> None:
    response, body = get(site, path)
    assert response.status in (400, 404)
    assert b"SECRET" not in body


@pytest.mark.parametrize(
    "path",
    [
        "/../outside.txt",
        "/../../outside.txt",
        "/%2e%2e/outside.txt",
        "/..%2foutside.txt",
        "/docs/..%2f..%2foutside.txt",
        "/docs/%2e%2e/%2e%2e/outside.txt",
        "/..\\outside.txt",
        "/%00../outside.txt",
        "/../r1/../outside",
        "/....//outside.txt",
    ],
)
def test_no_path_leaves_the_folder(site: CaddyEdge, folder: Path, path: str) -> None:
    (folder / "outside.txt").write_text("SECRET")
    response, body = get(site, path)
    assert response.status in (400, 404)
    assert b"SECRET" not in body


def test_an_unknown_path_is_404_with_our_page_or_theirs(site: CaddyEdge, folder: Path) -> None:
    response, body = get(site, "/nothing")
    assert response.status == 404
    assert b"There is no page here" in body
    site.switch("s", StaticRelease("r2", write(folder / "r2", {"index.html": "home", "404.html": "their own page"})))
    response, body = get(site, "/nothing")
    assert (response.status, body, response.getheader("X-DevFlow-Release")) == (404, b"their own page", "r2")
    assert "immutable" not in (get(site, "/gone.3f2a9c1b.js")[0].getheader("Cache-Control") or "")


def test_a_single_page_app_answers_every_path(edge: CaddyEdge, folder: Path) -> None:
    edge.publish([Site("s", ("s.localhost",), "static", spa=True)])
    edge.switch(
        "s", StaticRelease("r1", write(folder / "r1", {"index.html": "app", "logo.svg": "<svg/>", "404.html": "no"}))
    )
    for path in ("/", "/users/12", "/users/12/", "/file.with.dots"):
        response, body = get(edge, path)
        assert (response.status, body) == (200, b"app"), path
        assert "max-age=0" in (response.getheader("Cache-Control") or "")
    assert get(edge, "/logo.svg")[1] == b"<svg/>"
    assert get(edge, "/.env")[0].status == 404
    assert get(edge, "/assets/index-DiwrgTda.js")[0].status == 404  # a page instead of a script breaks in worse ways


@pytest.mark.parametrize(
    "name",
    [
        "app.3f2a9c1b.js",
        "main.8d3f1b2c4a5e6f70.css",
        "logo-3f2a9c1b0d.png",
        "index.Dk3f9XzQ.js",
        "chunk-5B4KQ2ZP.js",
        "assets/index-DiwrgTda.js",
        "assets/index-B_x-9k2L.css",
        "_astro/hello.css",
        "_next/static/abc/_ssgManifest.js",
        "_app/immutable/entry/start.js",
        "static/js/main.3f2a9c1b.js",
        "static/js/main.3f2a9c1b.js.map",
    ],
)
def test_fingerprinted_files_are_kept_for_a_year(edge: CaddyEdge, folder: Path, name: str) -> None:
    assert _caching(edge, folder, name) == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "name",
    [
        "index.html",
        "style.css",
        "assets/style.css",
        "assets/bootstrap-datepicker.js",
        "jquery-3.6.0.min.js",
        "my-dashboard.js",
        "report-20261122.pdf",
        "photo-deadbeef.jpg",
        "components.js",
    ],
)
def test_other_files_are_asked_for_again(edge: CaddyEdge, folder: Path, name: str) -> None:
    assert _caching(edge, folder, name) == "public, max-age=0, must-revalidate"


def _caching(edge: CaddyEdge, folder: Path, name: str) -> str | None:
    edge.publish([Site("s", ("s.localhost",), "static")])
    edge.switch("s", StaticRelease("r1", write(folder / "r1", {name: "x"})))
    response, body = get(edge, f"/{name}")
    assert (response.status, body) == (200, b"x")
    return response.getheader("Cache-Control")


@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd"])
def test_etags_save_a_transfer_within_a_release_only(site: CaddyEdge, folder: Path, encoding: str) -> None:
    tag = get(site, "/", Accept_Encoding=encoding)[0].getheader("ETag") or ""
    assert get(site, "/", Accept_Encoding=encoding, If_None_Match=tag)[0].status == 304
    write(folder / "r2", {"index.html": "away " * 300})
    times = (folder / "r1/index.html").stat()
    os.utime(folder / "r2/index.html", ns=(times.st_atime_ns, times.st_mtime_ns))  # as a reproducible build leaves it
    site.switch("s", StaticRelease("r2", folder / "r2"))
    assert get(site, "/", Accept_Encoding=encoding, If_None_Match=tag)[0].status == 200
    assert get(site, "/", If_Modified_Since="Fri, 01 Jan 2100 00:00:00 GMT")[0].status == 200


def test_text_is_compressed_and_ready_made_files_are_used(site: CaddyEdge, folder: Path) -> None:
    response, body = get(site, "/", Accept_Encoding="gzip")
    assert response.getheader("Content-Encoding") == "gzip"
    assert gzip.decompress(body) == FILES["index.html"].encode()
    assert get(site, "/", Accept_Encoding="br, zstd, gzip")[0].getheader("Content-Encoding") == "zstd"
    write(folder / "r2", {"index.html": "home " * 300})
    (folder / "r2/index.html.br").write_bytes(b"ready made")
    site.switch("s", StaticRelease("r2", folder / "r2"))
    assert get(site, "/", Accept_Encoding="br, gzip")[1] == b"ready made"


def test_parts_and_methods(site: CaddyEdge) -> None:
    response, body = get(site, "/about", Range="bytes=1-2")
    assert (response.status, body) == (206, b"bo")
    assert get(site, "/about", method="HEAD")[0].status == 200
    assert get(site, "/about", method="POST")[0].status == 405


def test_an_open_page_still_finds_the_assets_it_was_built_with(site: CaddyEdge, folder: Path) -> None:
    site.switch("s", StaticRelease("r2", write(folder / "r2", {"index.html": "new", "old.css": "x"})))
    assert get(site, "/app.3f2a9c1b.js")[1] == b"hashed"
    assert get(site, "/style.css")[0].status == 404


@pytest.mark.parametrize(
    ("link", "target"), [("passwd", "/etc/passwd"), ("docs/up", "../../outside"), ("loop", "/"), ("dead", "../none")]
)
def test_a_link_out_of_the_folder_is_refused(site: CaddyEdge, folder: Path, link: str, target: str) -> None:
    root = write(folder / "r2", {"index.html": "new", "docs/x": "x"})
    (root / link).symlink_to(target)
    with pytest.raises(StepFailed, match=link) as failed:
        site.switch("s", StaticRelease("r2", root))
    assert failed.value.cause == "unsafe_symlink"
    assert get(site, "/about")[0].getheader("X-DevFlow-Release") == "r1"


def test_a_link_within_the_folder_is_fine(site: CaddyEdge, folder: Path) -> None:
    root = write(folder / "r2", {"index.html": "new"})
    (root / "start.html").symlink_to("index.html")
    (folder / "latest").symlink_to("r2")
    site.switch("s", StaticRelease("r2", folder / "latest"))
    assert get(site, "/start")[1] == b"new"


def test_a_pipe_or_socket_is_refused(site: CaddyEdge, folder: Path) -> None:
    """Opening a pipe would hang the request for ever."""
    root = write(folder / "r2", {"index.html": "new"})
    os.mkfifo(root / "pipe")
    with pytest.raises(StepFailed) as failed:
        site.switch("s", StaticRelease("r2", root))
    assert failed.value.cause == "unsafe_file"
    (root / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "sock"))
        with pytest.raises(StepFailed, match="sock"):
            site.switch("s", StaticRelease("r2", root))
