"""A real Caddy on free ports, small real apps behind it, and a load that notices every failed request.

Import `edge_fixture, edge_process_fixture, folder_fixture` (and `# noqa: F401`) to have the fixtures `edge` (a running
`CaddyEdge`), `edge_process` and `folder` in other tests.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from devflow.adapters.caddy.client import CaddyEdge
from tests.free_ports import free_port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def eventually(condition: Callable[[], Any], timeout: float = 10) -> Any:
    """The first true value of `condition`; fails after `timeout` seconds."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {timeout} s: {condition}")


class EdgeProcess:
    """Caddy, started as `devflow up` starts it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        ports = {"http_port": free_port(), "https_port": free_port()}
        self.edge = CaddyEdge(folder, **(ports | settings))
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder.parent / f"{folder.name}.log"

    def start(self) -> CaddyEdge:
        command = self.edge.command()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command.argv, env=command.environment, stdout=log, stderr=log)
        eventually(self.edge.ready)
        return self.edge

    def stop(self, kill: bool = False) -> None:
        if self.process:
            self.process.kill() if kill else self.process.terminate()
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:  # an open socket holds a graceful stop
                self.process.kill()
                self.process.wait()
            self.process = None


@pytest.fixture(name="folder")
def folder_fixture() -> Iterator[Path]:
    """A folder with a short path: the admin socket's path may not exceed 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="edge-") as name:
        yield Path(name).resolve()


@pytest.fixture(name="edge_process")
def edge_process_fixture(folder: Path) -> Iterator[EdgeProcess]:
    running = EdgeProcess(
        folder / "edge", dashboard_hosts=("devflow.localhost",), dashboard_upstream=f"127.0.0.1:{free_port()}"
    )
    running.start()
    yield running
    running.stop()


@pytest.fixture(name="edge")
def edge_fixture(edge_process: EdgeProcess) -> CaddyEdge:
    return edge_process.edge


class App(BaseHTTPRequestHandler):
    """Answers with its name; /sse streams, /ws echoes, /crash hangs up, /headers shows the request's headers."""

    protocol_version = "HTTP/1.1"
    name = "app"
    tick: threading.Event
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        path = self.path.partition("?")[0]
        if path == "/sse":
            self._stream("text/event-stream", [b"data: first\n\n", b"data: second\n\n"])
        elif path == "/slow":
            self.tick.wait(20)
            self._say(self.name.encode())
        elif path == "/crash":
            self.close_connection = True
        elif path == "/ws":
            self._sockets()
        elif path == "/headers":
            self._say("\n".join(f"{key}: {value}" for key, value in self.headers.items()).encode())
        else:
            self._say(self.name.encode())

    def do_POST(self) -> None:
        left, total = int(self.headers["Content-Length"]), 0
        while left and (piece := self.rfile.read(min(left, 1 << 20))):
            left, total = left - len(piece), total + len(piece)
        self._say(str(total).encode())

    def log_message(self, *args: Any) -> None:
        pass

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-DevFlow-Release", "a lie")
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, kind: str, pieces: list[bytes]) -> None:
        """The second piece is sent only when the test has seen the first."""
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.tick.wait(20)
        self.wfile.write(b"0\r\n\r\n")

    def _sockets(self) -> None:
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        while len(head := self.rfile.read(2)) == 2 and head[0] & 15 == 1:
            mask, data = self.rfile.read(4), self.rfile.read(head[1] & 127)
            plain = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
            self.wfile.write(bytes([0x81, len(plain)]) + plain)
        self.close_connection = True


class Upstream(ThreadingHTTPServer):
    """A running `App`; `tick` lets its held answers go on."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, name: str, port: int = 0) -> None:
        self.tick = threading.Event()
        self.asked: list[str] = []
        values = {"name": name, "tick": self.tick, "asked": self.asked}
        super().__init__(("127.0.0.1", port), type("NamedApp", (App,), values))
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self.tick.set()
        self.shutdown()
        self.server_close()


@pytest.fixture(name="upstream")
def upstream_fixture() -> Iterator[Callable[..., Upstream]]:
    """Start small apps; they stop with the test."""
    started: list[Upstream] = []

    def start(name: str, port: int = 0) -> Upstream:
        started.append(Upstream(name, port))
        return started[-1]

    yield start
    for server in started:
        server.stop()


class Load:
    """Keep-alive connections that ask without a pause until the block ends. `failures` must stay empty."""

    def __init__(self, port: int, host: str, path: str = "/", connections: int = 8) -> None:
        self.port, self.host, self.path = port, host, path
        self.seen: Counter[tuple[int, bytes, str | None]] = Counter()
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(connections)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        eventually(lambda: self.total > 50)
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(15)

    @property
    def total(self) -> int:
        return sum(self.seen.copy().values()) + len(self.failures)

    def more(self, count: int) -> None:
        """Wait until this many more requests were answered."""
        goal = self.total + count
        eventually(lambda: self.total >= goal)

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        while not self._stop.is_set():
            try:
                connection.request("GET", self.path, headers={"Host": self.host})
                response = connection.getresponse()
                body = response.read(200)
                response.read()
                self.seen[response.status, body, response.getheader("X-DevFlow-Release")] += 1
                if response.status != 200:
                    self.failures.append(f"{response.status} {body[:80]!r}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
        connection.close()
