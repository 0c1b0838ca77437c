"""The contract of base images, on the real engine, a real registry and a real mmdebstrap; tiny images throughout."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import ImageNotFound

from devflow.adapters.docker.baseimages import DockerBaseImages
from devflow.adapters.docker.baseimages.catalogue import RECIPES, Recipe
from devflow.adapters.docker.baseimages.host import Host
from devflow.core.errors import Cancelled, NotFound, StepFailed, Unavailable
from tests.free_ports import free_port


def never() -> bool:
    return False


def wait(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


@pytest.fixture(scope="module")
def engine() -> docker.DockerClient:
    return docker.DockerClient("unix:///var/run/docker.sock")


@pytest.fixture
def repository(engine: docker.DockerClient) -> Iterator[str]:
    """A name of our own; what is tagged under it is removed afterwards."""
    name = f"devflow-test/base-{uuid.uuid4().hex[:8]}"
    yield name
    for image in engine.api.images():  # one answer: others remove theirs meanwhile
        for tag in image["RepoTags"] or ():
            if name in tag:
                engine.api.remove_image(tag, force=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recipe that is done in an instant, and one that never ends."""
    (tmp_path / "tiny.Dockerfile").write_text("FROM scratch\nARG VERSION\nCOPY tiny-hello /hello\nENV V=${VERSION}\n")
    (tmp_path / "tiny-hello").write_text("hello\n")
    (tmp_path / "endless.Dockerfile").write_text(
        'FROM scratch\nCOPY endless-busybox /bin/sh\nRUN ["/bin/sh", "-c", "echo begun; sleep 1234"]\n'
    )
    shutil.copy("/bin/busybox", tmp_path / "endless-busybox")
    (tmp_path / "broken.Dockerfile").write_text("FROM scratch\nCOPY not-there /\n")
    return tmp_path


def recipes(repository: str, folder: Path) -> dict[str, Recipe]:
    made = [
        Recipe(f"{repository}:1.0-slim", "tiny", "python", "", "scratch", "tiny", {"VERSION": "1.0"}, folder),
        Recipe(f"{repository}-endless:1", "endless", "", "", "scratch", "endless", {}, folder),
        Recipe(f"{repository}-broken:1", "broken", "", "", "scratch", "broken", {}, folder),
    ]
    return {recipe.reference: recipe for recipe in made}


@pytest.fixture
def images(repository: str, folder: Path) -> DockerBaseImages:
    return DockerBaseImages(folder / "state", recipes=recipes(repository, folder), host=Host())


def test_what_is_missing_is_built_once_under_the_name_that_was_asked_for(
    images: DockerBaseImages, repository: str, engine: docker.DockerClient
) -> None:
    lines: list[str] = []
    images.ensure(f"{repository}:1.0-alpine", lines.append, never)
    image = engine.images.get(f"{repository}:1.0-alpine")
    assert set(image.tags) == {f"{repository}:1.0-alpine", f"{repository}:1.0-slim"}
    assert image.labels["devflow.base"] == "1"
    assert any("stands for" in line and "apk" in line for line in lines)
    again: list[str] = []
    images.ensure(f"{repository}:1.0-alpine", again.append, never)
    assert again == []


def test_scratch_is_always_there(images: DockerBaseImages) -> None:
    images.ensure("scratch", lambda line: pytest.fail(line), never)


def test_what_nobody_has_is_refused_with_what_there_is(images: DockerBaseImages, repository: str) -> None:
    with pytest.raises(StepFailed) as refusal:
        images.ensure(f"{repository}:9.9", lambda _: None, never)
    assert refusal.value.cause == "image_not_found"
    assert f"{repository} 1.0" in refusal.value.hint


def test_a_build_that_fails_says_why_and_leaves_no_tag(
    images: DockerBaseImages, repository: str, engine: docker.DockerClient
) -> None:
    with pytest.raises(StepFailed) as failure:
        images.ensure(f"{repository}-broken:1", lambda _: None, never)
    assert failure.value.cause == "image_build_failed"
    assert "not-there" in failure.value.message
    with pytest.raises(ImageNotFound):
        engine.images.get(f"{repository}-broken:1")


def test_cancel_ends_the_build_and_its_step(
    images: DockerBaseImages, repository: str, engine: docker.DockerClient
) -> None:
    begun = threading.Event()
    started: list[float] = []

    def cancelled() -> bool:
        if begun.is_set() and not started:
            started.append(time.monotonic())
        return begun.is_set()

    with pytest.raises(Cancelled):
        images.ensure(f"{repository}-endless:1", lambda line: begun.set() if line == "begun" else None, cancelled)
    assert time.monotonic() - started[0] < 2
    assert wait(lambda: "sleep 1234" not in _commands())
    with pytest.raises(ImageNotFound):
        engine.images.get(f"{repository}-endless:1")


def _ensure(state: Path, made: dict[str, Recipe], name: str, lines: multiprocessing.Queue[str]) -> None:
    DockerBaseImages(state, recipes=made, host=Host()).ensure(name, lines.put, never)


def test_two_processes_build_a_name_once(repository: str, folder: Path) -> None:
    made = recipes(repository, folder)
    context = multiprocessing.get_context("spawn")
    lines = context.Queue()
    arguments = (folder / "state", made, f"{repository}:1.0-slim", lines)
    processes = [context.Process(target=_ensure, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    said = []
    while not lines.empty():
        said.append(lines.get())
    assert sum("from Debian's packages" in line for line in said) == 1


def test_build_all_makes_what_is_missing_or_out_of_date_and_nothing_else(
    images: DockerBaseImages, repository: str, folder: Path, engine: docker.DockerClient
) -> None:
    name = f"{repository}:1.0-slim"
    assert images.build_all([name], lambda _: None) == (name,)
    assert images.build_all([name], lambda _: None) == ()
    first = engine.images.get(name).id
    (folder / "tiny-hello").write_text("hello again\n")
    assert images.build_all([name], lambda _: None) == (name,)
    assert engine.images.get(name).id != first
    assert images.build_all([name], lambda _: None, refresh=True) == (name,)
    with pytest.raises(NotFound, match="no recipe for"):
        images.build_all(["alpine:3"], lambda _: None)


def test_the_list_tells_what_is_present(images: DockerBaseImages, repository: str) -> None:
    states = {image.reference: image.state for image in images.list_images()}
    assert states[f"{repository}:1.0-slim"] == "buildable"
    images.ensure(f"{repository}:1.0-slim", lambda _: None, never)
    image = next(i for i in images.list_images() if i.reference == f"{repository}:1.0-slim")
    assert image.state == "present" and image.size > 0


def test_versions_are_those_that_can_be_had(tmp_path: Path, engine: docker.DockerClient, repository: str) -> None:
    images = DockerBaseImages(tmp_path, host=Host())
    assert images.versions()["python"][:1] >= ("3.13",)
    assert {"24", "22", "20"} <= set(images.versions()["node"])
    engine.images.load(_empty_image("node:8.99.0-devflow-test"))
    try:
        assert images.versions()["node"][-1] == "8"
    finally:
        engine.images.remove("node:8.99.0-devflow-test", force=True)


def _empty_image(tag: str) -> bytes:
    client = docker.APIClient()
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        subprocess.run(["tar", "cf", file.name, "--files-from", "/dev/null"], check=True)
        repository, _, version = tag.partition(":")
        client.import_image(src=file.name, repository=repository, tag=version)
    return b"".join(client.get_image(tag))


def test_a_cancelled_bootstrap_leaves_neither_processes_nor_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    name = f"devflow-test/root-{uuid.uuid4().hex[:8]}:1"
    images = DockerBaseImages(
        tmp_path / "state", recipes={name: Recipe(name, "a root", suite=RECIPES["debian:13-slim"].suite)}
    )
    seen = threading.Event()
    with pytest.raises(Cancelled):
        images.ensure(name, lambda line: seen.set() if line.startswith("I:") else None, seen.is_set)
    assert wait(lambda: str(tmp_path) not in _commands())
    assert wait(lambda: [p.name for p in tmp_path.iterdir()] == ["state"])


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """A real registry on a port of its own."""
    address = f"127.0.0.1:{free_port()}"
    config = tmp_path / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {tmp_path / 'registry'}}}}}\n"
        f"http: {{addr: '{address}'}}\n"
    )
    process = subprocess.Popen(["docker-registry", "serve", str(config)], stderr=subprocess.DEVNULL)
    assert wait(lambda: _accepts(address))
    yield address
    process.terminate()
    process.wait(10)


def test_where_a_registry_answers_the_image_is_pulled(
    registry: str, images: DockerBaseImages, repository: str, engine: docker.DockerClient
) -> None:
    images.ensure(f"{repository}:1.0-slim", lambda _: None, never)
    remote = f"{registry}/{repository}"
    engine.images.get(f"{repository}:1.0-slim").tag(remote, "2.0")
    assert "error" not in engine.images.push(remote, "2.0")
    engine.images.remove(f"{remote}:2.0")
    lines: list[str] = []
    images.ensure(f"{remote}:2.0", lines.append, never)
    assert engine.images.get(f"{remote}:2.0").tags
    assert lines[0] == f"Pulling {remote}:2.0 …"
    with pytest.raises(StepFailed, match="cannot be built here"):
        images.ensure(f"{remote}:3.0", lines.append, never)
    assert lines[-1] == f"No registry has {remote}:3.0."


def test_a_registry_that_hangs_is_given_up_and_then_left_alone(repository: str, folder: Path) -> None:
    images = DockerBaseImages(folder / "state", recipes=recipes(repository, folder), host=Host(), patience=0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        name = f"127.0.0.1:{silent.getsockname()[1]}/app:1"
        started = time.monotonic()
        with pytest.raises(StepFailed):
            images.ensure(name, lambda _: None, never)
        first = time.monotonic() - started
        started = time.monotonic()
        with pytest.raises(StepFailed):
            DockerBaseImages(folder / "state", recipes={}, host=Host()).ensure(name, lambda _: None, never)
        assert 0.5 <= first < 3
        assert time.monotonic() - started < 0.5


def test_an_engine_that_is_gone_is_said_so(tmp_path: Path) -> None:
    images = DockerBaseImages(tmp_path, docker_host=f"unix://{tmp_path}/none.sock", host=Host())
    for call in (images.versions, images.list_images, lambda: images.ensure("python:3", lambda _: None, never)):
        with pytest.raises(Unavailable, match="does not answer"):
            call()


def _commands() -> str:
    texts = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                texts.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue
    return "\n".join(texts)


def _accepts(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0
