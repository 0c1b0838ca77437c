"""A real Docker engine, a tiny base image made from Debian's busybox, and everything removed afterwards.

Use in other tests: `from tests.ports.engine_fixtures import engine, engine_busybox, engine_scope  # noqa: F401`.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import docker
import pytest

from devflow.adapters.docker.client import DockerEngine
from devflow.core.errors import DomainError
from devflow.ports.engine import BuildEvent, BuildOutput, BuildSpec, BuildStep, Image, RunSpec

LABEL = "devflow.test"


def eventually(condition: Callable[[], Any], timeout: float = 20) -> Any:
    """The first true value of `condition`; fails after `timeout` seconds."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not true within {timeout} s: {condition}")


def busybox_binary(folder: Path) -> Path:
    """The static busybox of this machine, or of the distribution's package."""
    for known in ("/bin/busybox", "/usr/bin/busybox"):
        installed = Path(known)
        if installed.is_file() and b"/ld-linux" not in installed.read_bytes():
            return installed
    subprocess.run(["apt-get", "download", "-q", "busybox-static"], cwd=folder, check=True, capture_output=True)
    package = next(folder.glob("busybox-static*.deb"))
    subprocess.run(["dpkg-deb", "-x", str(package), str(folder / "root")], check=True)
    return next(path for path in folder.glob("root/**/busybox") if path.is_file())


def busybox_rootfs(binary: Path) -> bytes:
    """A root file system with the shell and its applets."""
    applets = subprocess.run([str(binary), "--list"], capture_output=True, text=True, check=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        program = tarfile.TarInfo("bin/busybox")
        program.mode, program.size = 0o755, binary.stat().st_size
        with binary.open("rb") as file:
            archive.addfile(program, file)
        for applet in applets:
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                archive.addfile(link)
        for name, mode in (("tmp", 0o1777), ("etc", 0o755), ("root", 0o700)):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, mode
            archive.addfile(folder)
    return buffer.getvalue()


def remove_with_children(api: docker.APIClient, reference: str) -> None:
    """Remove an image and what classic builds that failed or were cancelled left on top of it."""
    try:
        doomed = [api.inspect_image(reference)["Id"]]
    except docker.errors.ImageNotFound:
        return
    rows = api.images(all=True)
    for parent in doomed:
        doomed += [row["Id"] for row in rows if row["ParentId"] == parent]
    for image in reversed(doomed):
        try:
            api.remove_image(image, force=True)
        except docker.errors.APIError:
            continue  # gone with another one, or a container of another test run uses it


@pytest.fixture(scope="session")
def engine_busybox() -> Iterator[str]:
    """Reference of a base image with /bin/sh; its layers go when the run ends."""
    tag = f"run-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    api = docker.APIClient(version="auto")
    folder = Path(tempfile.mkdtemp(prefix="devflow-busybox-"))
    try:
        data = busybox_rootfs(busybox_binary(folder))
        api.import_image(src=data, repository="devflow-test/busybox", tag=tag, changes=["ENV PATH=/bin", 'CMD ["sh"]'])
        yield f"devflow-test/busybox:{tag}"
    finally:
        shutil.rmtree(folder)
        remove_with_children(api, f"devflow-test/busybox:{tag}")


@pytest.fixture(scope="session")
def engine() -> DockerEngine:
    """The engine of this machine."""
    return DockerEngine()


@dataclass
class Scope:
    """What one test makes carries its label and is removed with it."""

    engine: DockerEngine
    base: str
    folder: Path
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:10])
    networks: list[str] = field(default_factory=list)

    @property
    def labels(self) -> dict[str, str]:
        return {LABEL: self.id}

    def network(self) -> str:
        name = f"devflow-test-{self.id}"
        if name not in self.networks:
            self.engine.ensure_network(name, self.labels)
            self.networks.append(name)
        return name

    def run_spec(self, *command: str, name: str = "", restart: bool = False, **changes: Any) -> RunSpec:
        return RunSpec(
            name=f"devflow-test-{self.id}{name}",
            image=changes.pop("image", self.base),
            network=self.network(),
            command=command or None,
            labels=self.labels,
            restart=restart,
            **changes,
        )

    def shell(self, script: str, **changes: Any) -> RunSpec:
        return self.run_spec("sh", "-c", script, **changes)

    def context(self, dockerfile: str | None = None, /, **files: str) -> Path:
        folder = self.folder / uuid.uuid4().hex[:6]
        folder.mkdir()
        if dockerfile is not None:
            (folder / "Dockerfile").write_text(dockerfile.replace("BASE", self.base))
        for name, text in files.items():
            (folder / name).write_text(text)
        return folder

    def build_spec(self, dockerfile: str | None, /, **changes: Any) -> BuildSpec:
        context = changes.pop("context", None) or self.context(dockerfile)
        tag = changes.pop("tag", f"devflow-test/build-{self.id}:latest")
        labels = changes.pop("labels", self.labels)
        return BuildSpec(id=self.id, context=context, tag=tag, labels=labels, **changes)

    def clean(self) -> None:
        for container in self.engine.containers(self.labels):
            self.engine.remove(container.id)
        for image in self.engine.images(self.labels):
            self.engine.remove_image(image.id)
        for network in self.networks:
            self.engine.remove_network(network)


@pytest.fixture
def engine_scope(engine: DockerEngine, engine_busybox: str, tmp_path: Path) -> Iterator[Scope]:
    scope = Scope(engine, engine_busybox, tmp_path)
    yield scope
    scope.clean()


@dataclass
class Built:
    """One build and everything it said."""

    image: Image | None = None
    error: DomainError | None = None
    events: list[BuildEvent] = field(default_factory=list)
    seconds: float = 0.0

    def states(self, part: str) -> list[str]:
        return [event.state for event in self.events if isinstance(event, BuildStep) and part in event.name]

    def lines(self, stream: Literal["stdout", "stderr"] | None = None) -> list[str]:
        outputs = (event for event in self.events if isinstance(event, BuildOutput))
        return [event.text for event in outputs if stream in (None, event.stream)]


def build(engine: DockerEngine, spec: BuildSpec, cancelled: Callable[[], bool] = lambda: False) -> Built:
    """Build and keep what came of it."""
    result = Built()
    started = time.monotonic()
    try:
        result.image = engine.build(spec, result.events.append, cancelled)
    except DomainError as error:
        result.error = error
    result.seconds = time.monotonic() - started
    return result
