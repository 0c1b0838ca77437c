"""Keep the promise: what is live runs and is routed, what is left behind is drained, stopped and cleared away."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from devflow.core.errors import DomainError
from devflow.features.deployments.pipeline.gate import ask
from devflow.features.deployments.rules.plan import ATTEMPT, DEPLOYMENT, INSTALLATION, PROJECT, ROLE, Artifact, Failure
from devflow.ports.edge import AppRelease, Edge, Release, StaticRelease
from devflow.ports.engine import Container, Engine, Image

log = logging.getLogger(__name__)
RETURN_SECONDS = 20.0
"""How long the version before may take to answer again when it is called back."""
LAST_LINES = 20
PATIENCE = 3
"""Crashes after which a new version with none before it is given up; the engine restarts it until then."""
PARKED = "127.0.0.1", 1
"""Where the edge points while a container is down: nobody listens there, so requests wait for its return. Its own
address may be another container's by then."""


class KeptVersion(Protocol):
    """What housekeeping has to know of a released version."""

    @property
    def deployment_id(self) -> str: ...
    @property
    def project_id(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def artifact(self) -> Artifact: ...
    @property
    def live_at(self) -> datetime | None: ...
    @property
    def version(self) -> str: ...


@dataclass(frozen=True)
class Fallen:
    """A live version crashed within its watch; the one before it serves again, if there was one."""

    failure: Failure
    successor_id: str | None
    last_lines: tuple[str, ...] = ()


def container_of(engine: Engine, version: KeptVersion) -> Container | None:
    """The container of a released version."""
    mine = engine.containers({DEPLOYMENT: version.deployment_id, ATTEMPT: str(version.attempt), ROLE: "app"})
    return next(iter(mine), None)


def keep_serving(
    live: KeptVersion,
    before: KeptVersion | None,
    active_ids: Collection[str],
    engine: Engine,
    edge: Edge,
    *,
    watched: bool,
    run_again: Callable[[KeptVersion], Container | None],
) -> Fallen | None:
    """Make sure that what the rows call live is running and is what the edge points to."""
    if live.artifact.kind == "static":
        _route(live, StaticRelease(live.version, Path(live.artifact.folder or "")), active_ids, edge)
        return None
    container = container_of(engine, live)
    if watched and container is not None and _crashed(container):
        _route(live, AppRelease(live.version, *PARKED), active_ids, edge)
        fallen = _give_way(live, before, container, engine, edge)
        if fallen is not None:
            return fallen
    if container is None:
        container = run_again(live)
    elif container.state in ("exited", "created"):
        container = engine.start(container.id)
    if container is None:
        edge.withdraw(live.project_id)
        return None
    up = container.state == "running" and container.address
    address, port = (container.address, live.artifact.port) if up and container.address else PARKED
    _route(live, AppRelease(live.version, address, port), active_ids, edge)
    return None


def rest(live: KeptVersion, engine: Engine, grace: float) -> None:
    """Stop the container of a version that is not wanted for now; it stays, to be started again."""
    container = container_of(engine, live)
    if container is not None and container.state in ("running", "restarting", "paused"):
        engine.stop(container.id, grace)


def _route(live: KeptVersion, release: Release, active_ids: Collection[str], edge: Edge) -> None:
    now = edge.current(live.project_id)
    if now == release or (isinstance(release, StaticRelease) and not release.root.is_dir()):
        return
    if now is None or owner_of(now) not in active_ids:  # a deployment that has just switched is about to be live
        edge.switch(live.project_id, release)


def owner_of(release: Release) -> str:
    """The deployment that a release at the edge belongs to."""
    return release.version.split("-", 2)[-1]


def _crashed(container: Container) -> bool:
    if container.oom_killed or container.restarts > 0 or container.state == "restarting":
        return True
    return container.state in ("exited", "dead") and container.exit_code not in (0, None)


def _give_way(
    live: KeptVersion, before: KeptVersion | None, container: Container, engine: Engine, edge: Edge
) -> Fallen | None:
    """Call the version before back; None when nothing can serve instead and there is still hope."""
    successor = before if before is not None and _call_back(before, engine, edge) else None
    if successor is None and container.restarts < PATIENCE:
        return None
    if successor is None:
        edge.withdraw(live.project_id)
    last = engine.output(container.id, LAST_LINES)
    with suppress(DomainError):
        engine.remove(container.id)
    failure = _crash(container, successor)
    return Fallen(failure, successor.deployment_id if successor else None, last)


def _call_back(before: KeptVersion, engine: Engine, edge: Edge) -> bool:
    if before.artifact.kind != "static":
        return _restart(before, engine, edge)
    release = StaticRelease(before.version, Path(before.artifact.folder or ""))
    if not release.root.is_dir():
        return False
    edge.switch(before.project_id, release)
    return True


def _restart(before: KeptVersion, engine: Engine, edge: Edge) -> bool:
    kept = container_of(engine, before)
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


def _crash(container: Container, before: KeptVersion | None) -> Failure:
    if container.oom_killed:
        how, cause = "It used more memory than it may", "out_of_memory"
    else:
        code = f" (exit code {container.exit_code})" if container.exit_code not in (None, 0) else ""
        how, cause = f"It crashed soon after its release{code}", "crash_loop"
    return Failure(
        f"{how}. {f'Version #{before.number} serves again' if before else 'There was no version before it'}.",
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


class Holdings(Protocol):
    """What of a project has to stay."""

    @property
    def live(self) -> KeptVersion | None: ...
    @property
    def previous(self) -> KeptVersion | None: ...
    @property
    def active_ids(self) -> frozenset[str]: ...
    @property
    def kept(self) -> Sequence[KeptVersion]: ...
    @property
    def images(self) -> frozenset[str]: ...
    @property
    def folders(self) -> frozenset[Path]: ...


def retire(
    project_id: str,
    holdings: Callable[[], Holdings],
    engine: Engine,
    edge: Edge,
    *,
    drain_seconds: float,
    grace: float,
    stop: Callable[[], bool],
) -> None:
    """Drain and stop what is left behind; the stand-by stays, stopped, for an instant return."""
    found = engine.containers({PROJECT: project_id, ROLE: "app"})
    facts = holdings()  # after the look: whatever begins later is not in it
    for container in found:
        if container.labels.get(DEPLOYMENT) in facts.active_ids or _is_of(container, facts.live):
            continue
        if container.state in ("running", "restarting", "paused"):
            version = next((version for version in facts.kept if _is_of(container, version)), None)
            if version is not None and container.address:
                release = AppRelease(version.version, container.address, version.artifact.port)
                drain(edge, release, drain_seconds, stop)
            engine.stop(container.id, grace)
        if not _is_of(container, facts.previous):
            engine.remove(container.id)


def _is_of(container: Container, version: KeptVersion | None) -> bool:
    """A second attempt replaces the container of the first, so the attempt counts too."""
    if version is None:
        return False
    mine = version.deployment_id, str(version.attempt)
    return (container.labels.get(DEPLOYMENT), container.labels.get(ATTEMPT)) == mine


def drop_artifacts(project_id: str, folder: Path, holdings: Callable[[], Holdings], engine: Engine) -> None:
    """Remove images and static folders of versions beyond those kept."""
    images, folders = engine.images({PROJECT: project_id}), tuple(folder.glob("*"))
    facts = holdings()  # after the look: whatever is made later is not in it
    if facts.active_ids:
        return  # the end of that deployment clears away; its image may be in the making
    _drop_images(images, facts.images, engine)
    for child in folders:
        if child not in facts.folders:
            shutil.rmtree(child, ignore_errors=True)


def _drop_images(images: Collection[Image], keep: Collection[str], engine: Engine) -> None:
    for image in images:
        for tag in image.tags or (image.id,):
            if tag not in keep:
                engine.remove_image(tag)


def take_down(project_id: str, engine: Engine, edge: Edge, folder: Path, grace: float) -> None:
    """Everything a deleted project had: route, containers, images, network, files."""
    edge.withdraw(project_id)
    containers = engine.containers({PROJECT: project_id})
    for container in containers:
        engine.stop(container.id, grace)
        engine.remove(container.id)
    _drop_images(engine.images({PROJECT: project_id}), (), engine)
    engine.remove_network(f"devflow-{project_id}")
    shutil.rmtree(folder, ignore_errors=True)


def clear_installation(engine: Engine, installation: str, grace: float) -> Iterator[str]:
    """Remove everything an installation has made on the engine; says what, as it goes."""
    mine = {INSTALLATION: installation}
    for container in engine.containers(mine):
        engine.stop(container.id, grace)
        engine.remove(container.id)
        yield f"container {container.name}"
    for image in engine.images(mine):
        for tag in image.tags or (image.id,):
            engine.remove_image(tag)
            yield f"image {tag}"
    for network in engine.networks(mine):
        engine.remove_network(network)
        yield f"network {network}"


def orphans(
    engine: Engine, installation: str, known_ids: Callable[[frozenset[str]], frozenset[str]]
) -> tuple[Container, ...]:
    """Containers of this installation whose deployment has no row any more."""
    mine = engine.containers({INSTALLATION: installation, DEPLOYMENT: ""})
    rows = known_ids(frozenset(container.labels[DEPLOYMENT] for container in mine))
    return tuple(container for container in mine if container.labels[DEPLOYMENT] not in rows)


def with_leftovers(engine: Engine, installation: str, working_ids: Callable[[], frozenset[str]]) -> frozenset[str]:
    """Projects with a running container of a version that neither serves nor is being worked on."""
    running = [
        container.labels
        for container in engine.containers({INSTALLATION: installation, DEPLOYMENT: "", PROJECT: ""})
        if container.state in ("running", "restarting")
    ]
    working = working_ids()  # after the look: what has begun meanwhile is not in it
    return frozenset(labels[PROJECT] for labels in running if labels[DEPLOYMENT] not in working)
