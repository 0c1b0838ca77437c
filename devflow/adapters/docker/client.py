"""The `Engine` port on Docker. What it sends and reads is in `render.py`, how it builds in `builds.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from docker.errors import ImageNotFound, NotFound

from devflow.adapters.docker import render
from devflow.adapters.docker.builds import Builder, Choice
from devflow.adapters.docker.connection import Connection
from devflow.adapters.docker.containers import Containers
from devflow.adapters.docker.networks import Networks
from devflow.adapters.docker.unpack import unpack
from devflow.core.errors import Conflict, StepFailed
from devflow.ports.engine import (
    MANAGED,
    BuildEvent,
    BuildSpec,
    Container,
    ContainerEvent,
    EngineInfo,
    Image,
    OnOutput,
    RunSpec,
    Usage,
)

PRUNE = 600
"""Seconds; dropping a large build cache takes the engine minutes."""


class DockerEngine:
    """A Docker engine at `host` (empty: the local socket; `tcp://…` with `certificates` for TLS, `ssh://…`).

    Made without a word to the engine: one that is away is only noticed by the first call.
    """

    def __init__(self, host: str = "", builder: Choice = "auto", certificates: Path | None = None) -> None:
        self._connection = Connection(host, certificates)
        self._builder = Builder(self._connection, builder)
        self._containers = Containers(self._connection)
        self._networks = Networks(self._connection)

    def info(self) -> EngineInfo:
        builder = self._builder.kind()
        with self._connection.translated():
            info, version = self._connection.api.info(), self._connection.api.version()
        return EngineInfo(version["Version"], version["ApiVersion"], builder, info["NCPU"], info["MemTotal"])

    def build(self, spec: BuildSpec, on_event: Callable[[BuildEvent], None], cancelled: Callable[[], bool]) -> Image:
        labelled = replace(spec, labels=render.managed(spec.labels))
        built = self._builder.build(labelled, on_event, cancelled)
        with self._connection.translated():
            return render.image(self._connection.api.inspect_image(built))

    def image(self, reference: str) -> Image | None:
        with self._connection.translated():
            try:
                return render.image(self._connection.api.inspect_image(reference))
            except ImageNotFound:
                return None

    def images(self, labels: Mapping[str, str]) -> tuple[Image, ...]:
        with self._connection.translated():
            rows = self._connection.api.images(filters={"label": render.label_filter(labels)} if labels else None)
        found = (self.image(row["Id"]) for row in rows)
        return tuple(image for image in found if image is not None)

    def remove_image(self, reference: str) -> None:
        image = self.image(reference)
        if image is None:
            return
        if MANAGED not in image.labels:
            raise Conflict(f"The image {reference} was not made by DevFlow, so it is left alone.")
        by_id = reference.removeprefix("sha256:") in image.id
        with self._connection.translated():
            for name in (image.tags or (image.id,)) if by_id else (reference,):
                try:
                    self._connection.api.remove_image(name)
                except ImageNotFound:
                    continue

    def export(self, image: str, path: str, destination: Path) -> None:
        spec = RunSpec(name="", image=image, network="none", command=("true",), restart=False)
        with self._connection.translated():
            container = self._containers.create(spec)
            try:
                self._copy(container, path, destination)
            finally:
                self._containers.remove(container)

    def _copy(self, container: str, path: str, destination: Path) -> None:
        api = self._connection.stream()
        try:
            chunks, status = api.get_archive(container, path)
            if status.get("linkTarget"):
                path = status["linkTarget"]
                chunks, status = api.get_archive(container, path)
        except NotFound as error:
            raise StepFailed(
                f"The build made no folder {path}.",
                cause="output_missing",
                hint="Correct the output directory in the build settings, or the build command.",
            ) from error
        unpack(chunks, path, destination)

    def ensure_network(self, name: str, labels: Mapping[str, str]) -> None:
        self._networks.ensure(name, labels)

    def remove_network(self, name: str) -> None:
        self._networks.remove(name)

    def networks(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        return self._networks.labelled(labels)

    def run(self, spec: RunSpec, on_output: OnOutput | None = None) -> Container:
        with self._connection.translated():
            return self._containers.run(spec, on_output)

    def run_to_end(self, spec: RunSpec, on_output: OnOutput, cancelled: Callable[[], bool]) -> int:
        with self._connection.translated():
            return self._containers.run_to_end(spec, on_output, cancelled)

    def start(self, container: str) -> Container:
        with self._connection.translated():
            return self._containers.start(container)

    def stop(self, container: str, grace: float) -> None:
        with self._connection.translated():
            self._containers.stop(container, grace)

    def remove(self, container: str) -> None:
        with self._connection.translated():
            self._containers.remove(container)

    def container(self, container: str) -> Container | None:
        with self._connection.translated():
            return self._containers.find(container)

    def containers(self, labels: Mapping[str, str]) -> tuple[Container, ...]:
        with self._connection.translated():
            return tuple(self._containers.list(labels))

    def output(self, container: str, lines: int) -> tuple[str, ...]:
        with self._connection.translated():
            return self._containers.output(container, lines)

    def listening(self, container: str) -> tuple[tuple[str, int], ...]:
        with self._connection.translated():
            return self._containers.listening(container)

    def usage(self, container: str) -> Usage | None:
        with self._connection.translated():
            return self._containers.usage(container)

    def events(self, stop: Callable[[], bool]) -> Iterator[ContainerEvent]:
        return self._containers.events(stop)

    def prune_build_cache(self, keep_bytes: int) -> int:
        with self._connection.translated():
            freed = self._connection.stream(PRUNE).prune_builds(keep_storage=keep_bytes, all=True)
        return int(freed.get("SpaceReclaimed") or 0)
