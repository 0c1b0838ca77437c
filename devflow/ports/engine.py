"""A container engine: builds images, runs containers, says how they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

MANAGED = "devflow.managed"
"""Label on everything we make; nothing without it is ever removed."""


@dataclass(frozen=True)
class EngineInfo:
    """Who answers: version, API version, how images are built, size of the machine behind it (bytes, cores)."""

    version: str
    api_version: str
    builder: Literal["buildkit", "classic"]
    cpus: int
    memory: int


@dataclass(frozen=True)
class Limits:
    """Upper bounds; `None` means unlimited. Memory in bytes, cpus in cores, seconds of wall clock."""

    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class BuildSpec:
    """One image to build from `context` (a folder on this machine)."""

    id: str
    context: Path
    tag: str
    dockerfile: str = "Dockerfile"
    """Path of the Dockerfile inside the context."""
    dockerfile_text: str | None = None
    """A generated Dockerfile; it wins over `dockerfile` and never touches the user's tree."""
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Mounted by `RUN --mount=type=secret,id=NAME`; never in a layer, a label or the history."""
    labels: Mapping[str, str] = field(default_factory=dict)
    no_cache: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class BuildStep:
    """A step changed state. `name` is what the builder calls it, e.g. `[2/5] RUN pip install …`."""

    name: str
    state: Literal["started", "cached", "done", "failed"]
    error: str = ""


@dataclass(frozen=True)
class BuildOutput:
    """One line a step printed, without its line end."""

    step: str
    stream: Literal["stdout", "stderr"]
    text: str


BuildEvent = BuildStep | BuildOutput


@dataclass(frozen=True)
class Image:
    """An image on the engine. `ports` are its EXPOSEd TCP ports, lowest first; size in bytes."""

    id: str
    tags: tuple[str, ...]
    ports: tuple[int, ...]
    user: str
    size: int
    labels: Mapping[str, str]
    created_at: datetime | None = None


@dataclass(frozen=True)
class RunSpec:
    """One container to run. It is hardened by the adapter: no new privileges, capabilities dropped, pids bounded."""

    name: str
    image: str
    network: str
    env: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    restart: bool = True
    """Restart on a crash and after a reboot, unless it was stopped."""


@dataclass(frozen=True)
class Container:
    """How a container is right now. `address` is its IP on its network while it runs."""

    id: str
    name: str
    image: str
    state: Literal["created", "running", "restarting", "paused", "exited", "dead"]
    address: str | None
    exit_code: int | None
    oom_killed: bool
    restarts: int
    started_at: datetime | None
    finished_at: datetime | None
    labels: Mapping[str, str]


@dataclass(frozen=True)
class ContainerEvent:
    """The engine says that one of our containers started, died or was destroyed."""

    kind: Literal["start", "die", "oom", "destroy"]
    container_id: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Usage:
    """What a container uses now: memory in bytes, cpu as cumulated seconds."""

    memory: int
    memory_limit: int
    cpu_seconds: float


OnOutput = Callable[[Literal["stdout", "stderr"], str], None]


class Engine(Protocol):
    """Every method raises `Unavailable` when the engine does not answer."""

    def info(self) -> EngineInfo: ...

    def build(self, spec: BuildSpec, on_event: Callable[[BuildEvent], None], cancelled: Callable[[], bool]) -> Image:
        """Build and tag; raises `StepFailed` (cause `build_failed`, `build_timeout`, `out_of_memory`, `disk_full`,
        `dockerfile_invalid`, `image_not_found`) or `Cancelled` within a second of `cancelled()` turning true."""
        ...

    def image(self, reference: str) -> Image | None: ...

    def images(self, labels: Mapping[str, str]) -> tuple[Image, ...]: ...

    def remove_image(self, reference: str) -> None:
        """Remove an image or one of its tags; one that is gone already is fine."""
        ...

    def export(self, image: str, path: str, destination: Path) -> None:
        """Copy a folder out of an image. Links that point out of the folder are refused (`StepFailed`)."""
        ...

    def ensure_network(self, name: str, labels: Mapping[str, str]) -> None: ...

    def remove_network(self, name: str) -> None: ...

    def networks(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        """The names of all networks that carry every one of these labels."""
        ...

    def run(self, spec: RunSpec, on_output: OnOutput | None = None) -> Container:
        """Create and start. Output is attached before the start, so no line is lost; `on_output` gets whole lines from
        a thread of the adapter until the container ends. A container of that name is replaced."""
        ...

    def run_to_end(self, spec: RunSpec, on_output: OnOutput, cancelled: Callable[[], bool]) -> int:
        """Run a one-off command to its end, remove it, and return its exit code. Raises `Cancelled`, `StepFailed`."""
        ...

    def start(self, container: str) -> Container: ...

    def stop(self, container: str, grace: float) -> None:
        """SIGTERM, then SIGKILL after `grace` seconds; one that is gone already is fine."""
        ...

    def remove(self, container: str) -> None:
        """Kill if needed and remove; one that is gone already is fine."""
        ...

    def container(self, container: str) -> Container | None: ...

    def containers(self, labels: Mapping[str, str]) -> tuple[Container, ...]:
        """All containers, stopped ones too, that carry every one of these labels (an empty value: any value)."""
        ...

    def output(self, container: str, lines: int) -> tuple[str, ...]:
        """The last lines it printed."""
        ...

    def listening(self, container: str) -> tuple[tuple[str, int], ...]:
        """(address, port) of the TCP sockets it listens on, e.g. ("127.0.0.1", 5000); to name a wrong port."""
        ...

    def usage(self, container: str) -> Usage | None: ...

    def events(self, stop: Callable[[], bool]) -> Iterator[ContainerEvent]:
        """Events of managed containers until `stop()`; ends quietly when the engine goes away."""
        ...

    def prune_build_cache(self, keep_bytes: int) -> int:
        """Drop old build cache above `keep_bytes`; returns bytes freed."""
        ...
