"""Ten switches under load: no request fails, slow ones end where they began, streams live to the drain limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.journeys.platform import Platform, Repository, wait_for

pytestmark = pytest.mark.slow
SWITCHES = 10
DRAIN = 4
SLOW = 1.5
"""Seconds a slow request takes; less than the drain limit."""
APP = f"""
import http.server, os, time

VERSION = os.environ["DEVFLOW_DEPLOYMENT"].encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/events":
            return self.events()
        if self.path == "/slow":
            time.sleep({SLOW})
        self.send_response(200)
        self.send_header("Content-Length", str(len(VERSION)))
        self.end_headers()
        self.wfile.write(VERSION)

    def events(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        while True:
            self.wfile.write(b"data: " + VERSION + b"\\n\\n")
            self.wfile.flush()
            time.sleep(0.1)

    def log_message(self, *words):
        pass


http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""


@dataclass
class Load:
    """Visitors that keep their connections and note every answer: when it came, what it said."""

    url: str
    host: str
    answers: list[tuple[float, str, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> Load:
        self._threads = [
            threading.Thread(target=self._visit, args=(path,)) for path in ("/", "/", "/", "/slow", "/slow")
        ]
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _visit(self, path: str) -> None:
        with httpx.Client(base_url=self.url, headers={"Host": self.host}, timeout=30) as client:
            while not self._stop.wait(0.005):
                try:
                    answer = client.get(path)
                except httpx.HTTPError as error:
                    self.failures.append(f"{path}: {error!r}")
                    continue
                if answer.status_code != 200:
                    self.failures.append(f"{path}: {answer.status_code} {answer.text[:200]}")
                self.answers.append((time.monotonic(), path, answer.text))


@dataclass
class Stream:
    """Somebody who listens to a stream of events; `last` is when the newest one came."""

    url: str
    host: str
    versions: set[str] = field(default_factory=set)
    last: float = 0.0

    def start(self) -> threading.Thread:
        thread = threading.Thread(target=self._listen, daemon=True)
        thread.start()
        wait_for(lambda: self.last, 10, "the first event")
        return thread

    def _listen(self) -> None:
        try:
            with httpx.stream("GET", f"{self.url}/events", headers={"Host": self.host}, timeout=30) as answer:
                for line in answer.iter_lines():
                    if line:
                        self.versions.add(line.removeprefix("data: "))
                        self.last = time.monotonic()
        except httpx.HTTPError:
            return  # cut off at the drain limit


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that gives the version left behind some time."""
    running = Platform(tmp_path_factory.mktemp("patient"), {"DRAIN_TIMEOUT": str(DRAIN), "STOP_GRACE": "1"}).start()
    yield running
    running.remove()


def test_ten_switches_under_load(patient: Platform, tmp_path: Path) -> None:
    code = Repository(tmp_path / "app")
    code.commit({"main.py": APP, "requirements.txt": "", "Procfile": "web: python -u main.py\n"})
    user = patient.user()
    made = user.project(code.folder)
    done = user.ended(user.deploy(made))
    assert done["status"] == "success", user.log(done)
    url, host = f"http://127.0.0.1:{patient.http_port}", f"{made['slug']}.localhost:{patient.http_port}"
    load, stream = Load(url, host).start(), Stream(url, host)
    try:
        listener = stream.start()
        for number in range(SWITCHES):
            done = user.ended(user.call("POST", f"/deployments/{done['id']}/redeploy", 201))
            assert done["status"] == "success", user.log(done)
            if number == 0:
                lives_to_the_drain_limit(stream, listener)
    finally:
        load.stop()
    assert load.failures == [], f"{len(load.failures)} of {len(load.answers)}"
    assert {version for _, _, version in load.answers} == {str(number) for number in range(1, SWITCHES + 2)}
    assert finished_on_the_old(load) >= 1


def lives_to_the_drain_limit(stream: Stream, listener: threading.Thread) -> None:
    """The version it began with goes on speaking after the switch, and not for ever."""
    switched = time.monotonic()
    wait_for(lambda: stream.last > switched, 5, "an event after the switch")
    listener.join(30)
    assert not listener.is_alive(), "the stream outlived the drain limit"
    assert stream.versions == {"1"}
    assert stream.last - switched > DRAIN / 2


def finished_on_the_old(load: Load) -> int:
    """Slow answers of a version that came after the first answer of the next version."""
    begun: dict[int, float] = {}
    for at, _, version in sorted(load.answers):
        begun.setdefault(int(version), at)
    slow = [(at, int(version)) for at, path, version in load.answers if path == "/slow"]
    return len([at for at, version in slow if at > begun.get(version + 1, float("inf"))])
