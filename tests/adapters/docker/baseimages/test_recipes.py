"""The images that carry a service of their own, really started. Built first where they are missing: minutes, once."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from devflow.adapters.docker.baseimages import DockerBaseImages

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Run = Callable[..., Container]


def wait(condition: Callable[[], Any], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> DockerBaseImages:
    return DockerBaseImages(tmp_path_factory.mktemp("images"))


@pytest.fixture
def run(images: DockerBaseImages) -> Iterator[Run]:
    """Start a container of a base image; it and its volumes go away afterwards."""
    client = docker.DockerClient("unix:///var/run/docker.sock")
    made: list[Container] = []

    def start(image: str, *command: str, **options: Any) -> Container:
        images.ensure(image, lambda _: None, lambda: False)
        name = f"devflow-test-recipe-{uuid.uuid4().hex[:8]}"
        made.append(client.containers.run(image, list(command) or None, name=name, detach=True, **options))
        return made[-1]

    yield start
    for container in made:
        container.remove(force=True, v=True)


def said(container: Container, *command: str, **options: Any) -> str:
    output = container.exec_run(list(command), **options).output
    assert isinstance(output, bytes)
    return output.decode().strip()


def query(container: Container, sql: str, password: str = "geheim") -> str:
    command = ("psql", "-h", "127.0.0.1", "-U", "me", "-d", "shop", "-Atqc", sql)
    return said(container, *command, environment={"PGPASSWORD": password})


def test_postgres_is_made_with_the_official_variables_and_keeps_its_data(run: Run) -> None:
    container = run(
        "postgres:17",
        environment={"POSTGRES_USER": "me", "POSTGRES_PASSWORD": "geheim", "POSTGRES_DB": "shop"},
    )
    assert wait(lambda: query(container, "select 1") == "1"), container.logs().decode()
    query(container, "create table kept (x int); insert into kept values (7)")
    container.restart(timeout=30)
    assert wait(lambda: query(container, "select x from kept") == "7"), container.logs().decode()
    assert "password authentication failed" in query(container, "select 1", password="wrong")
    assert said(container, "stat", "-c", "%U", "/proc/1") == "postgres"


def test_postgres_killed_while_it_is_made_is_made_again(run: Run) -> None:
    container = run(
        "postgres:17",
        environment={"POSTGRES_USER": "me", "POSTGRES_PASSWORD": "geheim", "POSTGRES_DB": "shop"},
    )
    assert wait(lambda: said(container, "ls", "-a", "/var/lib/postgresql/data").find(".new") >= 0)
    container.kill()
    container.start()
    assert wait(lambda: query(container, "select 1") == "1"), container.logs().decode()
    assert ".unfinished" not in said(container, "ls", "-a", "/var/lib/postgresql/data")


def test_postgres_without_a_password_says_so(run: Run) -> None:
    container = run("postgres:17")
    assert container.wait()["StatusCode"] == 1
    assert b"POSTGRES_PASSWORD is not set" in container.logs()


def test_redis_answers_and_is_not_root(run: Run) -> None:
    container = run("redis:8", "--requirepass", "geheim")
    ping = ("redis-cli", "-a", "geheim", "--no-auth-warning", "ping")
    assert wait(lambda: said(container, *ping) == "PONG"), container.logs().decode()
    assert said(container, "redis-cli", "ping").startswith("NOAUTH")
    assert said(container, "stat", "-c", "%U", "/proc/1") == "redis"


def test_nginx_serves_its_folder_and_logs_to_the_container(run: Run, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "index.html").write_text("from the volume")
    container = run("nginx:alpine", volumes={str(tmp_path): {"bind": "/usr/share/nginx/html", "mode": "ro"}})
    fetch = ("perl", "-MIO::Socket::INET", "-e")
    script = 'my $s = IO::Socket::INET->new("127.0.0.1:80") or exit; print $s "GET / HTTP/1.0\\r\\n\\r\\n"; print <$s>;'
    assert wait(lambda: "from the volume" in said(container, *fetch, script)), container.logs().decode()
    assert b'"GET / HTTP/1.0" 200' in container.logs()


def test_pip_can_be_upgraded_and_packages_land_where_dockerfiles_copy_them_from(run: Run) -> None:
    container = run("python:3.13-slim", "sleep", "600")
    assert container.exec_run(["pip", "install", "-q", "--upgrade", "pip"]).exit_code == 0
    assert container.exec_run(["pip", "install", "-q", "itsdangerous"]).exit_code == 0
    assert "itsdangerous" in said(container, "ls", "/usr/local/lib/python3.13/site-packages")
    assert said(container, "/usr/local/bin/python", "-c", "import itsdangerous; print('found')") == "found"
