"""Keep the promise: what is live runs and is routed, what is left behind is drained, stopped and cleared away."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from devflow.core.errors import DomainError
from devflow.features.deployments.pipeline.gate import ask
from devflow.features.deployments.rules.plan import DEPLOYMENT, INSTALLATION, PROJECT, ROLE, Artifact, Failure
from devflow.ports.edge import AppRelease, Edge, StaticRelease
from devflow.ports.engine import MANAGED, Container, Engine

log = logging.getLogger(__name__)
RETURN_SECONDS = 20.0
"""How long the version before may take to answer again when it is called back."""


class KeptVersion(Protocol):
    """What housekeeping has to know of a released version."""

    @property
    def deployment_id(self) -> str: ...
    @property
    def project_id(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def artifact(self) -> Artifact: ...
    @property
    def live_at(self) -> datetime | None: ...
    @property
    def version(self) -> str: ...


@dataclass(frozen=True)
class Fallen:
    """A live version crashed within its watch and the one before it serves again."""

    failure: Failure
    successor_id: str


def newest(engine: Engine, deployment_id: str) -> Container | None:
    """The container of a deployment (of its last attempt)."""
    mine = engine.containers({DEPLOYMENT: deployment_id, ROLE: "app"})
    return max(mine, key=lambda container: container.name, default=None)


def keep_serving(
    live: KeptVersion, before: KeptVersion | None, engine: Engine, edge: Edge, *, watched: bool
) -> Fallen | None:
    """Make sure that what the rows call live is running and is what the edge points to."""
    if live.artifact.kind == "static":
        _keep_static(live, edge)
        return None
    container = newest(engine, live.deployment_id)
    crashed = container is not None and _crashed(container)
    if watched and before is not None and (container is None or crashed):
        fallen = _return(live, before, container, engine, edge)
        if fallen is not None:
            return fallen
    if container is not None and container.state in ("exited", "created"):
        container = engine.start(container.id)
    if container is not None and container.state == "running" and container.address:
        release = AppRelease(live.version, container.address, live.artifact.port)
        if edge.current(live.project_id) != release:
            edge.switch(live.project_id, release)
    return None


def _keep_static(live: KeptVersion, edge: Edge) -> None:
    release = StaticRelease(live.version, Path(live.artifact.folder or ""))
    if edge.current(live.project_id) != release and release.root.is_dir():
        edge.switch(live.project_id, release)


def _crashed(container: Container) -> bool:
    if container.oom_killed or container.restarts > 0 or container.state == "restarting":
        return True
    return container.state in ("exited", "dead") and container.exit_code not in (0, None)


def _return(
    live: KeptVersion, before: KeptVersion, container: Container | None, engine: Engine, edge: Edge
) -> Fallen | None:
    """Call the version before back; None when it cannot serve either."""
    if before.artifact.kind == "static":
        edge.switch(live.project_id, StaticRelease(before.version, Path(before.artifact.folder or "")))
    elif not _restart(before, engine, edge):
        return None
    failure = _crash(live, before, container)
    if container is not None:
        with suppress(DomainError):
            engine.remove(container.id)
    return Fallen(failure, before.deployment_id)


def _restart(before: KeptVersion, engine: Engine, edge: Edge) -> bool:
    kept = newest(engine, before.deployment_id)
    if kept is None:
        return False
    started = engine.start(kept.id)
    deadline = time.monotonic() + RETURN_SECONDS
    while time.monotonic() < deadline:
        if started.address and ask(started.address, before.artifact.port, "/", "localhost", 2).status is not None:
            edge.switch(before.project_id, AppRelease(before.version, started.address, before.artifact.port))
            return True
        time.sleep(0.05)
        started = engine.container(kept.id) or started
    return False


def _crash(live: KeptVersion, before: KeptVersion, container: Container | None) -> Failure:
    if container is None:
        how, cause = "Its container is gone", "container_lost"
    elif container.oom_killed:
        how, cause = "It used more memory than it may", "out_of_memory"
    else:
        code = f" (exit code {container.exit_code})" if container.exit_code not in (None, 0) else ""
        how, cause = f"It crashed soon after its release{code}", "crash_loop"
    return Failure(
        f"{how}. Version #{before.number} serves again.",
        cause,
        "The app's last lines are in the log. Mend it and deploy again.",
    )


def drain(edge: Edge, release: AppRelease, seconds: float, stop: Callable[[], bool]) -> None:
    """Wait until the edge has answered what it had begun with this release, at most `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not stop():
        if edge.in_flight(release) == 0:
            return
        time.sleep(0.1)


def retire(
    project_id: str,
    keep_ids: Collection[str],
    standby_id: str | None,
    ports: Mapping[str, int],
    engine: Engine,
    edge: Edge,
    *,
    drain_seconds: float,
    grace: float,
    stop: Callable[[], bool],
) -> None:
    """Drain and stop what is left behind; the stand-by stays, stopped, for an instant return."""
    for container in engine.containers({PROJECT: project_id, ROLE: "app"}):
        owner = container.labels.get(DEPLOYMENT, "")
        if owner in keep_ids:
            continue
        if container.state == "running":
            if container.address and owner in ports:
                drain(edge, AppRelease("", container.address, ports[owner]), drain_seconds, stop)
            engine.stop(container.id, grace)
        if owner != standby_id:
            engine.remove(container.id)


def drop_images(project_id: str, keep: Collection[str], active_ids: Collection[str], engine: Engine) -> None:
    """Remove images of a project beyond those kept; an image of a build under way is left alone."""
    for image in engine.images({MANAGED: "1", PROJECT: project_id}):
        if image.labels.get(DEPLOYMENT) in active_ids:
            continue
        for tag in image.tags or (image.id,):
            if tag not in keep:
                engine.remove_image(tag)


def drop_folders(folder: Path, keep: Collection[Path], active_numbers: Collection[str]) -> None:
    """Remove static versions beyond those kept."""
    for child in folder.glob("*"):
        if child not in keep and child.name not in active_numbers:
            shutil.rmtree(child, ignore_errors=True)


def take_down(project_id: str, engine: Engine, edge: Edge, folder: Path, grace: float) -> None:
    """Everything a deleted project had: route, containers, images, network, files."""
    edge.withdraw(project_id)
    containers = engine.containers({PROJECT: project_id})
    for container in containers:
        engine.stop(container.id, grace)
        engine.remove(container.id)
    drop_images(project_id, (), (), engine)
    engine.remove_network(f"devflow-{project_id}")
    shutil.rmtree(folder, ignore_errors=True)


def orphans(
    engine: Engine, installation: str, known_ids: Callable[[frozenset[str]], frozenset[str]]
) -> tuple[Container, ...]:
    """Containers of this installation whose deployment has no row any more."""
    mine = engine.containers({MANAGED: "1", INSTALLATION: installation, DEPLOYMENT: ""})
    rows = known_ids(frozenset(container.labels[DEPLOYMENT] for container in mine))
    return tuple(container for container in mine if container.labels[DEPLOYMENT] not in rows)
