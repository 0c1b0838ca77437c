"""A fresh platform and a real browser. Any page error, console error or policy violation fails the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from werkzeug.serving import make_server

from devflow.app import create_app
from devflow.core.db import db
from tests.conftest import SETTINGS
from tests.journeys.platform import Platform

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextmanager
def served(folder: Path, **settings: Any) -> Iterator[str]:
    """DevFlow's web part alone, with an empty database of its own; yields its address."""
    apps: list[Callable[..., Any]] = []
    server = make_server("127.0.0.1", 0, lambda environ, start: apps[0](environ, start), threaded=True)
    url = f"http://localhost:{server.server_port}"
    app = create_app({**SETTINGS, "data_dir": folder, "app_url": url, **settings})
    with app.app_context():
        db.create_all()
    apps.append(app)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield url
    server.shutdown()
    server.server_close()
    thread.join()
    with app.app_context():
        db.engine.dispose()


@pytest.fixture(scope="session")
def shared_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """`devflow up` for all that do not mind the accounts and projects of others."""
    running = Platform(tmp_path_factory.mktemp("browser")).start()
    yield running
    running.remove()


@pytest.fixture
def fresh_platform(tmp_path: Path) -> Iterator[Platform]:
    """`devflow up` that nobody has signed up to, for one test; anew when that is run again."""
    running = Platform(tmp_path / "platform").start()
    yield running
    running.remove()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """A browser at the platform that the test asks for."""
    wanted = "fresh_platform" if "fresh_platform" in request.fixturenames else "shared_platform"
    platform: Platform = request.getfixturevalue(wanted)
    made = chromium.new_context(
        base_url=f"http://localhost:{platform.http_port}", viewport={"width": 1280, "height": 900}
    )
    made.set_default_timeout(20_000)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    yield opened
    # A refused form and a socket that comes back are told by the browser itself, and are part of the stories.
    assert [text for text in wrong if "status of 4" not in text and "WebSocket" not in text] == []
