"""Real repositories served by real git: over http with and without a password, and over ssh by a real sshd."""

from __future__ import annotations

import base64
import os
import pwd
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.free_ports import free_port

USER, PASSWORD = "deploy", "t0p-s3cret/+tok=en"
_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Ada Löve",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada Löve",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
    "GIT_ALLOW_PROTOCOL": "file:http:https:ssh",
}


def git(folder: Path, *arguments: str) -> str:
    """Run git as a developer would; its output."""
    done = subprocess.run(("git", *arguments), cwd=folder, env=_ENVIRONMENT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


class Repo:
    """A bare repository and a working folder that pushes to it."""

    def __init__(self, root: Path, name: str) -> None:
        self.bare, self.work = root / f"{name}.git", root / f"{name}-work"
        self.work.mkdir(parents=True)
        git(self.work, "init", "-q", "-b", "main")
        git(self.work, "init", "-q", "--bare", "-b", "main", str(self.bare))
        git(self.work, "remote", "add", "origin", str(self.bare))

    def commit(self, files: Mapping[str, str | bytes], message: str = "Change", branch: str = "main") -> str:
        """Write, commit and push; the new commit's full name."""
        git(self.work, "checkout", "-q", "-B", branch)
        for name, content in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "--allow-empty", "-m", message)
        git(self.work, "push", "-q", "-f", "origin", f"refs/heads/{branch}")
        return git(self.work, "rev-parse", "HEAD")


class _Handler(BaseHTTPRequestHandler):
    """`git http-backend` behind the least CGI there is."""

    protocol_version = "HTTP/1.1"
    server: GitServer

    def do_GET(self) -> None:
        if self.path.startswith("/hang"):
            self.server.hanging.set()
            self.server.released.wait(30)
            return
        if self.path.startswith("/moved/"):
            self._answer(302, [("Location", self.server.moved_to + self.path.removeprefix("/moved"))], b"")
            return
        if self.path.startswith("/private/") and self.headers.get("Authorization") != self.server.expected:
            self.server.refused.append(self.headers.get("Authorization"))
            self._answer(401, [("WWW-Authenticate", 'Basic realm="git"')], b"")
            return
        if self.path.startswith("/elsewhere/"):
            self.server.seen_elsewhere.append(self.headers.get("Authorization"))
            self._answer(401, [("WWW-Authenticate", 'Basic realm="git"')], b"")
            return
        self._git(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/private/") and self.headers.get("Authorization") != self.server.expected:
            self._answer(401, [("WWW-Authenticate", 'Basic realm="git"')], b"")
            return
        self._git(body)

    def log_message(self, *_: Any) -> None:
        pass

    def _git(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        path = path.removeprefix("/private").removeprefix("/old")
        environment = _ENVIRONMENT | {
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        if not self.path.startswith("/old/"):  # an old server knows protocol 0 only and gives no unadvertised commit
            environment["GIT_PROTOCOL"] = self.headers.get("Git-Protocol", "")
        done = subprocess.run(("git", "http-backend"), input=body, env=environment, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().splitlines() if ": " in line]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        self._answer(status, [pair for pair in headers if pair[0] != "Status"], content)  # type: ignore[misc]

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class GitServer(ThreadingHTTPServer):
    """`/x.git` is open, `/private/x.git` wants a password, `/old/x.git` speaks protocol 0, `/hang` never answers.

    `/moved/x.git` leads on to `moved_to`. `connections` counts who came at all."""

    daemon_threads = True

    def __init__(self, root: Path, host: str = "127.0.0.1") -> None:
        self.root = root
        self.connections = 0
        self.moved_to = ""
        self.expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        self.refused: list[str | None] = []
        self.seen_elsewhere: list[str | None] = []
        self.hanging, self.released = threading.Event(), threading.Event()
        super().__init__((host, 0), _Handler)
        self.url = f"http://{host}:{self.server_port}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def get_request(self) -> tuple[Any, Any]:
        self.connections += 1
        return super().get_request()

    def stop(self) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()


@pytest.fixture(name="root")
def root_fixture(tmp_path: Path) -> Path:
    root = tmp_path / "repositories"
    root.mkdir()
    return root


@pytest.fixture(name="repo")
def repo_fixture(root: Path) -> Callable[[str], Repo]:
    return lambda name: Repo(root, name)


@pytest.fixture(name="server")
def server_fixture(root: Path) -> Iterator[GitServer]:
    running = GitServer(root)
    yield running
    running.stop()


@pytest.fixture(name="other_server")
def other_server_fixture(root: Path) -> Iterator[GitServer]:
    """Another host, as far as passwords are concerned: another port."""
    running = GitServer(root)
    yield running
    running.stop()


class Sshd:
    """A real OpenSSH server on a free port that lets one key in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700)
        for name in ("host", "deploy", "stranger"):
            self.new_key(name)
        shutil.copy(folder / "deploy.pub", folder / "authorized")
        self.port = free_port()
        settings = {
            "Port": self.port,
            "ListenAddress": "127.0.0.1",
            "HostKey": folder / "host",
            "AuthorizedKeysFile": folder / "authorized",
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
        }
        (folder / "config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        self.process: subprocess.Popen[bytes] | None = None
        self.user = pwd.getpwuid(os.getuid()).pw_name

    def new_key(self, name: str) -> None:
        for old in (self.folder / name, self.folder / f"{name}.pub"):
            old.unlink(missing_ok=True)
        subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)), check=True)

    def key(self, name: str) -> str:
        return (self.folder / name).read_text()

    def start(self) -> None:
        program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "sshd is not installed: apt-get install openssh-server"
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen((program, "-D", "-e", "-f", str(self.folder / "config")), stderr=log)
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()


@pytest.fixture(name="sshd")
def sshd_fixture(tmp_path: Path) -> Iterator[Sshd]:
    running = Sshd(tmp_path / "sshd")
    running.start()
    yield running
    running.stop()
