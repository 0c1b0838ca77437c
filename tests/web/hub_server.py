"""Runs `hub_app` under a real server in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import requests
import websocket

from devflow.adapters.logs import SqliteLogs
from tests.free_ports import free_port
from tests.web.socket_client import handshake

ROOT = Path(__file__).parents[2]


class Server:
    """A running `hub_app`; `kind` is gunicorn or werkzeug."""

    def __init__(self, kind: str, folder: Path, *options: str, ping: float = 25, pace: float | None = None) -> None:
        self.folder = folder
        self.logs = SqliteLogs(folder / "logs.db")
        self.port = free_port()
        gunicorn = f"gunicorn tests.web.hub_app:app -k gthread --threads 8 --bind 127.0.0.1:{self.port}"
        serve = {
            "gunicorn": [*gunicorn.split(), "--no-control-socket", "--graceful-timeout", "20", *options],
            "werkzeug": ["tests.web.hub_app", str(self.port)],
        }[kind]
        extra = {"HUB_APP_FOLDER": str(folder), "HUB_APP_PING": str(ping)}
        if pace is not None:
            extra["HUB_APP_PACE"] = str(pace)
        self.output = (folder / "server.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", *serve], cwd=ROOT, env=os.environ | extra, stdout=self.output, stderr=self.output
        )
        try:
            self._wait()
        except BaseException:
            self.process.kill()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + 90
        while True:
            try:
                requests.get(self.url("/hello"), timeout=90).raise_for_status()
                return
            except requests.ConnectionError:
                assert self.process.poll() is None and time.monotonic() < deadline, self.said()
            time.sleep(0.02)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def stats(self) -> dict[str, int]:
        found: dict[str, int] = requests.get(self.url("/stats"), timeout=60).json()
        return found

    def open(self, path: str) -> websocket.WebSocket:
        return websocket.create_connection(f"ws://127.0.0.1:{self.port}{path}", timeout=60)

    def raw(self, path: str, headers: str = "", receive_buffer: int = 0) -> socket.socket:
        """A connection after its handshake, whose bytes one sends and receives oneself."""
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(60)
        raw.connect(("127.0.0.1", self.port))
        raw.sendall(handshake(path, headers))
        return raw

    def said(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")

    def stop(self) -> float:
        """Stop it the polite way; answers how long that took."""
        started = time.monotonic()
        self.process.terminate()
        self.process.wait(60)
        self.logs.close()
        self.output.close()
        return time.monotonic() - started
