"""The raw way to deploy: git, the builder, the engine, and nothing between them."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker

from devflow.adapters.docker.baseimages import DockerBaseImages
from devflow.adapters.docker.client import DockerEngine
from devflow.features.deployments.rules.detect import Overrides, Runtimes, detect, scoped_caches
from devflow.ports.engine import BuildSpec
from tests.journeys.platform import Repository

LOOK = 0.003
PATIENCE = 180


class Hands:
    """Clones, builds, runs and waits for the first answer; what has to be decided before is decided before."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._docker = docker.from_env()
        self._engine = DockerEngine()
        self._runtimes = Runtimes(DockerBaseImages(folder / "images").versions())
        self._network = self._docker.networks.create(f"devflow-bench-{uuid.uuid4().hex[:8]}")
        self._dockerfile = ""
        self._image = ""

    def deploy(self, repository: Repository, scope: str, *, no_cache: bool = False) -> float:
        """Seconds from nothing to the first answer. `scope` names the caches of the build, as the platform does."""
        found = detect(repository.folder, Overrides(), self._runtimes)
        assert found.dockerfile_text is not None
        tree, tag = self._folder / uuid.uuid4().hex, f"devflow-bench:{uuid.uuid4().hex[:12]}"
        spec = BuildSpec(
            id=tree.name, context=tree, tag=tag, dockerfile_text=scoped_caches(found.dockerfile_text, scope),
            secrets={"env": ""}, no_cache=no_cache,
        )  # fmt: skip
        began = time.perf_counter()
        clone = ["git", "clone", "-q", "--depth", "1", "--branch", "main", f"file://{repository.folder}", str(tree)]
        subprocess.run(clone, check=True)
        self._engine.build(spec, lambda _event: None, lambda: False)
        container: Any = self._docker.containers.run(
            tag, detach=True, init=True, network=self._network.name, environment={"PORT": str(found.port)}
        )
        container.reload()
        address = container.attrs["NetworkSettings"]["Networks"][self._network.name]["IPAddress"]
        until(lambda: answered(address, found.port, "by-hand") is not None)
        taken = time.perf_counter() - began
        self._clear(container, tag, tree)
        return taken

    def close(self) -> None:
        if self._image:
            self._docker.images.remove(self._image, force=True)
        self._network.remove()

    def _clear(self, container: Any, tag: str, tree: Path) -> None:
        container.remove(force=True)
        if self._image:
            self._docker.images.remove(self._image, force=True)
        self._image = tag  # the newest stays: its layers are the cache
        shutil.rmtree(tree)


def answered(address: str, port: int, host: str) -> str | None:
    """What the server there calls its release when it answers 200 (empty without a name); None when it does not."""
    connection = http.client.HTTPConnection(address, port, timeout=5)
    try:
        connection.request("GET", "/", headers={"Host": host})
        answer = connection.getresponse()
        return (answer.getheader("X-DevFlow-Release") or "") if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, "it never answered"
        time.sleep(LOOK)
