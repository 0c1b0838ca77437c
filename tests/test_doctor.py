"""What `devflow doctor` finds, on real sockets, databases and a real Redis."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devflow.core.settings import Settings
from devflow.ports.doctor import Check
from devflow.supervisor import doctor
from devflow.supervisor.lock import only_one

REVISION = "revision = 'a1'\ndown_revision = None\ndef upgrade(): ...\n"


def find(name: str, folder: Path, **values: Any) -> Check:
    settings = Settings(_env_file=None, data_dir=folder, **values)  # type: ignore[call-arg]
    return next(check for check in doctor.checks(settings) if check.name == name)


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A history of one revision, `a1`."""
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions / "a1.py").write_text(REVISION)
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    return tmp_path


def database(folder: Path, revision: str) -> None:
    with sqlite3.connect(folder / "devflow.db") as connection:
        connection.execute("create table alembic_version (version_num varchar(32) not null)")
        connection.execute("insert into alembic_version values (?)", (revision,))


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check = find("Data folder", tmp_path / "file" / "var")
    assert check.state == "fail" and "DATA_DIR" in check.mend
    assert find("Data folder", tmp_path / "new").state == "ok"


def test_a_full_disk(tmp_path: Path) -> None:
    assert find("Disk", tmp_path, min_free_disk=0).state == "ok"
    check = find("Disk", tmp_path / "not" / "yet", min_free_disk=10**12)
    assert check.state == "fail" and "no build starts" in check.mend


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("git version 2.39.5", "ok"), ("git version 2.37.0 (Apple Git-1)", "ok"), ("git version 3.0.1", "ok"),
        ("git version 2.36.6", "warn"), ("git version 2.9", "warn"), ("who knows", "warn"),
    ],
)  # fmt: skip
def test_an_old_git_is_told_with_what_follows(said: str, state: str) -> None:
    check = doctor._git_found(said)
    assert check.state == state
    assert state == "ok" or ("private" in check.says and "2.37" in (check.mend or ""))


def test_git_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find("Git", tmp_path).state in ("ok", "warn")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find("Git", tmp_path).state == "fail"


@pytest.mark.parametrize(("megabytes", "says"), [(800, "800 MB"), (2048, "2 GB"), (62_771, "61.3 GB")])
def test_sizes_are_told_as_people_say_them(megabytes: int, says: str) -> None:
    assert doctor._amount(megabytes) == says


def test_the_engine(tmp_path: Path) -> None:
    assert find("Docker engine", tmp_path).state == "ok"
    check = find("Docker engine", tmp_path, docker_host=f"unix://{tmp_path}/none.sock")
    assert check.state == "fail" and "DOCKER_HOST" in check.mend


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        check = find("Ports", tmp_path, port=port, edge_external=True)
        assert check.state == "fail" and f"Port {port} is taken by" in check.says
        with only_one(tmp_path, ""):
            check = find("Ports", tmp_path, port=port, edge_external=True)
            assert check.state == "ok" and f"(process {os.getpid()})" in check.says
    assert find("Ports", tmp_path, port=port, edge_external=True).state == "ok"


def test_the_database(migrations: Path) -> None:
    assert "does not exist yet" in find("Database", migrations).says
    database(migrations, "a1")
    assert find("Database", migrations).state == "ok"


def test_a_database_of_another_version(migrations: Path) -> None:
    database(migrations, "z9")
    assert find("Database", migrations).state == "warn"


def test_a_database_that_is_away_is_named_without_its_password(tmp_path: Path) -> None:
    check = find("Database", tmp_path, database_url="postgresql+psycopg://me:geheim@127.0.0.1:9/devflow")
    assert check.state == "fail" and "DATABASE_URL" in check.mend
    assert "geheim" not in check.says and "127.0.0.1:9" in check.says


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "redis.sock"
    process = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", ""], stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 10
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    yield f"unix://{path}"
    process.terminate()
    process.wait(10)


def test_the_queue(tmp_path: Path, redis_url: str) -> None:
    assert find("Queue", tmp_path).state == "ok"
    assert find("Queue", tmp_path, web_processes=2).state == "warn"
    assert find("Queue", tmp_path, redis_url=redis_url, web_processes=2).says == "Redis answers."
    assert find("Queue", tmp_path, redis_url="redis://127.0.0.1:9").state == "fail"
    assert find("Queue", tmp_path, redis_url="nonsense").state == "fail"


def test_an_edge_of_its_own_that_does_not_answer(tmp_path: Path) -> None:
    assert find("Edge", tmp_path).state == "ok"
    check = find("Edge", tmp_path, edge_external=True, edge_http_port=9)
    assert check.state == "fail" and "EDGE_HTTP_PORT" in check.mend


def test_the_domain(tmp_path: Path) -> None:
    for domain in ("localhost", "dev.localhost", "192.0.2.1"):
        assert find("Domain", tmp_path, base_domain=domain).state == "ok"
    check = find("Domain", tmp_path, base_domain="devflow.invalid")
    assert check.state == "warn" and "*.devflow.invalid" in check.mend


def test_sign_in_by_others(tmp_path: Path) -> None:
    assert "no buttons" in find("Sign-in by others", tmp_path).says
    assert find("Sign-in by others", tmp_path, github_client_id="a", github_client_secret="b").state == "ok"
    check = find("Sign-in by others", tmp_path, google_client_id="a")
    assert check.state == "fail" and "GOOGLE_CLIENT_SECRET" in check.mend


def test_an_examination_that_breaks_does_not_hide_the_others(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path, database_url="mysql+nothing://x")  # type: ignore[call-arg]
    found = doctor.PlatformDoctor(settings).checks()
    assert len(found) == 11
    assert "could not be checked" in next(check for check in found if check.name == "Database").says
