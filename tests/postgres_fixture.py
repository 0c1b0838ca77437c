"""A real PostgreSQL for tests: one cluster a test session, a fresh database for each module that asks.

Use it by `from tests.postgres_fixture import postgres_url` in a test module or a conftest. The cluster lives in a
temporary folder, listens on a free port of the loopback address, and is stopped when the session ends. Started as
root it runs as the user `postgres`, because PostgreSQL refuses to run as root.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.free_ports import free_port

_FAST = "-c fsync=off -c full_page_writes=off -c max_connections=60 -c shared_buffers=64MB"


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    """The URL of a database of one's own (`postgresql://postgres@127.0.0.1:…/t_…`), dropped afterwards."""
    with fresh_database() as url:
        yield url


@contextlib.contextmanager
def fresh_database() -> Iterator[str]:
    """A new, empty database; for scripts as well."""
    server = cluster()
    name = f"t_{secrets.token_hex(6)}"
    with psycopg.connect(f"{server.url}/postgres", autocommit=True) as connection:
        connection.execute(f'create database "{name}"')  # type: ignore[call-overload]
    yield f"{server.url}/{name}"
    with psycopg.connect(f"{server.url}/postgres", autocommit=True) as connection:
        connection.execute(f'drop database "{name}" with (force)')  # type: ignore[call-overload]


@functools.cache
def cluster() -> Cluster:
    """The cluster of this process, started on first use."""
    server = Cluster()
    server.start()
    atexit.register(server.remove)
    return server


class Cluster:
    """A PostgreSQL server in a temporary folder; `stop` and `start` let a test take it away for a while."""

    def __init__(self) -> None:
        self._bin = _programs()
        self._user = "postgres" if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="devflow-postgres-"))
        if self._user:
            shutil.chown(self._folder, self._user)
        self._data = self._folder / "data"
        self._port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self._port}"
        self._run("initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")

    def start(self) -> None:
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -k {self._folder} {_FAST}"
        self._run("pg_ctl", "start", "-w", "-D", self._data, "-l", self._folder / "log", "-o", options)

    def stop(self) -> None:
        """At once, as a crash would."""
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", self._data)

    def remove(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: object) -> None:
        # the server inherits the streams, so a pipe would never see its end
        with (self._folder / "commands").open("ab") as output:
            subprocess.run(
                [self._bin / program, *map(str, arguments)],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=self._user,
                cwd=self._folder,
            )


def _programs() -> Path:
    """The folder of PostgreSQL's programs; a test that needs them fails, rather than skips, without them."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    if initdb := shutil.which("initdb"):
        return Path(initdb).parent
    pytest.fail("PostgreSQL's programs are missing. Install the package postgresql.")
