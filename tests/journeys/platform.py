"""The whole product, started as a user starts it, and a user who works with it over HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import httpx
import psutil

from devflow.adapters.docker.connection import SOCKET
from devflow.core.crypto import digest
from tests.free_ports import free_port

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 90


def wait_for(what: Callable[[], Any], seconds: float = 60, says: str = "it") -> Any:
    """Ask again until the answer is true; returns it."""
    deadline = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{says} did not happen within {seconds:g} s")
        time.sleep(0.05)


@dataclass
class Platform:
    """`devflow up` in a data folder of its own."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    https_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    told: int = 0
    """Bytes of the log written before this start."""

    @property
    def variables(self) -> dict[str, str]:
        return {
            **os.environ,
            "DATA_DIR": str(self.folder),
            "PORT": str(self.port),
            "EDGE_HTTP_PORT": str(self.http_port),
            "EDGE_HTTPS_PORT": str(self.https_port),
            "DEVFLOW_ENV": "test",
            "ALLOW_LOCAL_REPOSITORIES": "1",
            "ALLOW_PRIVATE_ADDRESSES": "1",
            "DEPLOYMENTS_PER_HOUR": "10000",
            "RATE_LIMIT_PER_MINUTE": "100000",
            "AUTH_LIMIT_PER_MINUTE": "1000",
            "HEALTH_TIMEOUT": "8",
            "DRAIN_TIMEOUT": "1",
            "STOP_GRACE": "2",
            "LEASE": "3",
            "MIN_FREE_DISK": "100",
            "MAX_BUILD_SIZE": "20",
            **self.environment,
        }

    @property
    def log(self) -> Path:
        return self.folder / "output.txt"

    def start(self) -> Platform:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.told = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "devflow.cli", "up"],
                cwd=ROOT, env=self.variables, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        wait_for(self._ready, START_SECONDS, "the platform's start")
        return self

    def _ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"devflow up ended with {self.process.returncode}:\n{self.log.read_text()[-4000:]}")
        return b"DevFlow is ready" in self.log.read_bytes()[self.told :]

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> float:
        """Ctrl-C; returns how long it took."""
        assert self.process is not None
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                raise
        return time.monotonic() - began

    def remove(self) -> None:
        """Stop it, and take away what it made on the engine."""
        self.stop()
        key = (self.folder / "secrets" / "secret_key").read_text(encoding="ascii").strip()
        mine = {"label": f"devflow.installation={digest('installation', key)[:16]}"}
        with closing(docker.DockerClient(base_url=self.variables.get("DOCKER_HOST") or SOCKET)) as engine:
            for container in engine.api.containers(all=True, filters=mine):
                engine.api.remove_container(container["Id"], force=True, v=True)
            for image in engine.api.images(filters=mine):
                engine.api.remove_image(image["Id"], force=True)
            for network in engine.api.networks(filters=mine):
                engine.api.remove_network(network["Id"])

    def child(self, name: str) -> psutil.Process:
        """A service's process: `worker`, `web` or `edge`."""
        names = {"worker": "devflow-worker", "web": "devflow-web", "edge": "caddy"}
        assert self.process is not None
        for process in psutil.Process(self.process.pid).children():
            if Path(f"/proc/{process.pid}/comm").read_text().strip() == names[name]:
                return process
        raise AssertionError(f"no {name} process is running")

    def kill(self, name: str) -> None:
        self.child(name).send_signal(signal.SIGKILL)

    def user(self, name: str = "Ann") -> User:
        """A new account, signed in."""
        mail = f"{name.lower()}-{time.time_ns()}@example.com"
        client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)
        answer = client.post("/api/v1/auth/register", json={"name": name, "email": mail, "password": "correct horse"})
        assert answer.status_code == 201, answer.text
        data = answer.json()["data"]
        client.headers["Authorization"] = f"Bearer {data['access_token']}"
        return User(self, client, mail, "correct horse", data["access_token"])

    def visit(self, host: str, path: str = "/", **options: Any) -> httpx.Response:
        """What a browser gets at the edge."""
        url = f"http://127.0.0.1:{self.http_port}{path}"
        return httpx.get(url, headers={"Host": f"{host}:{self.http_port}", **options.pop("headers", {})}, **options)


@dataclass
class User:
    """Somebody with a token."""

    platform: Platform
    http: httpx.Client
    email: str
    password: str
    token: str

    def call(self, method: str, path: str, expect: int | None = None, **body: Any) -> Any:
        answer = self.http.request(method, f"/api/v1{path}", json=body or None)
        if expect is None:
            assert answer.status_code < 400, f"{method} {path}: {answer.status_code} {answer.text}"
        else:
            assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        payload = answer.json()
        return payload["data"] if answer.status_code < 400 else payload["error"]

    def project(self, repository: Path | str, **fields: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.call("POST", "/projects", repository_url=str(repository), **fields)
        return made

    def deploy(self, project: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.call("POST", f"/projects/{project['id']}/deploy", 201, **fields)
        return made

    def deployment(self, deployment: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/deployments/{deployment['id']}")
        return found

    def ended(self, deployment: Mapping[str, Any], seconds: float = 120) -> dict[str, Any]:
        """The deployment once it is over."""

        def over() -> dict[str, Any] | None:
            found = self.deployment(deployment)
            return found if found["status"] in ("success", "failed", "cancelled") else None

        found: dict[str, Any] = wait_for(over, seconds, f"the end of deployment {deployment['id']}")
        return found

    def log(self, deployment: Mapping[str, Any]) -> str:
        answer = self.http.get(f"/api/v1/deployments/{deployment['id']}/logs", headers={"Accept": "text/plain"})
        assert answer.status_code == 200
        return answer.text


class Repository:
    """A git repository on this machine, made of files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._git("init", "-q", "-b", "main")

    def _git(self, *words: str) -> str:
        identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *identity, *words], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str | bytes] | None = None, message: str = "Change") -> str:
        """Write the files, commit everything, return the commit's sha."""
        for name, content in (files or {}).items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self._git("add", "-A")
        self._git("commit", "-q", "--allow-empty", "-m", message)
        return self._git("rev-parse", "HEAD")

    def __str__(self) -> str:
        return str(self.folder)


PYTHON_APP = """
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = {body}
        self.send_response({status})
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

{before}
http.server.ThreadingHTTPServer(({address}, {port}), Handler).serve_forever()
"""


def python_app(
    text: str = "hello", status: str = "200", before: str = "", address: str = '"0.0.0.0"',
    port: str = 'int(os.environ["PORT"])', body: str = "",
) -> dict[str, str]:  # fmt: skip
    """The files of a small server without dependencies: quick to build, quick to start."""
    source = PYTHON_APP.format(
        body=body or repr(text.encode()), status=status, before=before, address=address, port=port
    )
    return {"main.py": source, "requirements.txt": "", "Procfile": "web: python -u main.py\n"}
