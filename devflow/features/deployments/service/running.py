"""What a worker writes while it carries out a deployment; every write is fenced by the attempt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from devflow.core.access import Actor, Permission
from devflow.core.clock import now
from devflow.core.crypto import vault
from devflow.core.db import db, transaction
from devflow.core.errors import Cancelled
from devflow.core.settings import Settings
from devflow.core.use_case import emit, query, use_case
from devflow.features.deployments.events import DeploymentFailed, DeploymentLive, DeploymentStarted
from devflow.features.deployments.models import Deployment, Stage
from devflow.features.deployments.rules import plan as plans
from devflow.features.deployments.rules.plan import Artifact, Outcome, Plan, Snapshot
from devflow.features.deployments.rules.states import STEPS, Step, may_move
from devflow.features.deployments.service.finding import find, hold, key_of, live_of
from devflow.features.deployments.service.starting import close_stages
from devflow.features.projects import service as projects
from devflow.ports.git import CheckoutLimits, Commit
from devflow.ports.logs import Level, LogWriter

STRANDED_AFTER = timedelta(seconds=15)
"""An active deployment without a job for so long is not on its way to one."""


def read_env(sealed: str | None) -> dict[str, str]:
    """The variables a deployment was made with."""
    text = vault().open(sealed) if sealed else ""
    return dict(pair.split("=", 1) for pair in text.split("\x00") if pair)


@use_case(Permission.DEPLOYMENTS_RUN, on=hold)
def begin(actor: Actor, deployment: Deployment, attempt: int, settings: Settings) -> Plan:
    """Take the deployment on as this attempt and say what has to be done. Raises Cancelled if it is over."""
    if not deployment.active:
        raise Cancelled("This deployment is over.")
    again = deployment.attempt > 0
    deployment.attempt = attempt
    deployment.status, deployment.version = "building", deployment.version + 1
    deployment.started_at = deployment.started_at or now()
    if again:
        _reopen(deployment.id)
    _close_step(deployment.id, "queue")
    emit(DeploymentStarted(deployment.id, deployment.project_id))
    return _plan(actor, deployment, settings)


@query(Permission.DEPLOYMENTS_RUN, on=find)
def plan_of(actor: Actor, deployment: Deployment, settings: Settings) -> Plan:
    """The plan a version was made with, to run it once more."""
    return _plan(actor, deployment, settings)


def _plan(actor: Actor, deployment: Deployment, settings: Settings) -> Plan:
    project = projects.find(actor, deployment.project_id)
    snapshot = Snapshot.read(deployment.config)
    reuse = Artifact.read(deployment.artifact) if deployment.rollback_of_id and deployment.artifact else None
    return Plan(
        deployment_id=deployment.id,
        number=deployment.number,
        attempt=deployment.attempt,
        project_id=project.id,
        installation=plans.installation_of(settings),
        slug=project.slug,
        log_stream=deployment.log_stream,
        repository=projects.repository(project, allow_local=settings.allows_local(project.repository)),
        branch=deployment.branch,
        commit=deployment.commit_hash,
        overrides=snapshot.overrides,
        env=read_env(deployment.sealed_env),
        reuse=reuse,
        host=plans.host_of(project.slug, settings),
        url=plans.url_of(project.slug, settings),
        health=plans.Health(snapshot.health_path, snapshot.health_timeout or settings.health_timeout),
        build_limits=plans.build_limits(settings),
        app_limits=plans.app_limits(settings, snapshot.memory_mb, snapshot.cpus),
        checkout_limits=CheckoutLimits(settings.max_repository_size * plans.MB, settings.clone_timeout),
        work=work_folder(settings) / f"{deployment.id}-{deployment.attempt}",
        output=output_folder(settings, project.id) / f"{deployment.number}-{deployment.attempt}",
        max_output=settings.max_build_size * plans.MB,
        min_free_disk=settings.min_free_disk * plans.MB,
        stop_grace=settings.stop_grace,
        clear_cache=deployment.clear_cache,
        tls=settings.edge_tls != "off",
    )


def work_folder(settings: Settings) -> Path:
    """Where checkouts live while they are built."""
    return settings.folder / "builds"


def output_folder(settings: Settings, project_id: str) -> Path:
    """Where the static output of a project's versions lives."""
    return settings.folder / "static" / project_id


def _reopen(deployment_id: str) -> None:
    """A second worker starts over: what the first one had begun is open again."""
    later = update(Stage).where(Stage.deployment_id == deployment_id, Stage.step != "queue")
    db.session.execute(later.values(status="pending", started_at=None, completed_at=None, error_message=None))


def _close_step(deployment_id: str, step: str) -> None:
    mine = update(Stage).where(Stage.deployment_id == deployment_id, Stage.step == step)
    db.session.execute(mine.where(Stage.status == "in_progress").values(status="completed", completed_at=now()))


class DatabaseReport:
    """Tells the database and the log what the pipeline does; raises Cancelled once the deployment is not ours.

    What ends is written together with what begins next, in one transaction: each costs some milliseconds of every
    deployment. Call `settle` at the end.
    """

    def __init__(self, plan: Plan, writer: LogWriter, cancelled: Callable[[], bool]) -> None:
        self._plan = plan
        self._writer = writer
        self._cancelled = cancelled
        self._owed: dict[str, Any] = {}
        self._stages: list[tuple[tuple[Step, ...], dict[str, Any]]] = []

    def started(self, step: Step, says: str | None = None) -> None:
        facts = STEPS[step]
        status = "building" if facts.stage in ("queued", "building") else "deploying"
        self._stages.append(((step,), {"status": "in_progress", "started_at": now(), "completed_at": None}))
        self._write(status=status, progress=facts.progress, current_step=says or facts.says)

    def finished(self, step: Step) -> None:
        self._mind_the_end()
        self._stages.append(((step,), {"status": "completed", "completed_at": now()}))

    def skipped(self, *steps: Step) -> None:
        self._mind_the_end()
        self._stages.append((steps, {"status": "skipped"}))

    def progress(self, percent: int, says: str) -> None:
        self._write(progress=percent, current_step=says[:255])

    def found(self, commit: Commit) -> None:
        self._mind_the_end()
        self._owed |= {
            "commit_hash": commit.sha, "commit_message": commit.message[:2000], "author": commit.author[:255]
        }  # fmt: skip

    def built(self, artifact: Artifact) -> None:
        self._mind_the_end()
        self._owed |= {
            "artifact": artifact.stored(),
            "kind": artifact.kind,
            "framework": artifact.framework,
            "container": self._plan.container if artifact.kind == "app" else None,
        }

    def settle(self) -> None:
        """Write what is owed still; nothing when the deployment is over or another worker's."""
        if self._owed or self._stages:
            with suppress(Cancelled):
                self._write()

    def _write(self, **values: Any) -> None:
        self._mind_the_end()
        values, self._owed = {**self._owed, **values}, {}
        stages, self._stages = self._stages, []
        with _fenced(self._plan, values):
            for steps, changes in stages:
                mine = update(Stage).where(Stage.deployment_id == self._plan.deployment_id, Stage.step.in_(steps))
                db.session.execute(mine.values(changes))

    def _mind_the_end(self) -> None:
        if self._cancelled():
            raise Cancelled("This deployment is to end.")

    def log(self, message: str, *, level: Level = "info", stream: str = "system", step: str = "") -> None:
        self._writer.write(message, level=level, stream=stream, step=step)

    def cancelled(self) -> bool:
        return self._cancelled()


@contextmanager
def _fenced(plan: Plan, values: dict[str, Any]) -> Iterator[None]:
    """A transaction that only happens while the deployment is active and this attempt is the current one."""
    mine = (
        Deployment.id == plan.deployment_id,
        Deployment.attempt == plan.attempt,
        Deployment.active_key.is_not(None),
    )
    changes = {**values, "version": Deployment.version + 1, "updated_at": now()}
    try:
        with transaction():
            held = db.session.execute(update(Deployment).where(*mine).values(changes))
            if not getattr(held, "rowcount", 0):
                raise Cancelled("This deployment is over, or another worker has taken it.")
            yield
    finally:
        db.session.remove()


@use_case(Permission.DEPLOYMENTS_RUN, on=hold)
def finish(actor: Actor, deployment: Deployment, attempt: int, outcome: Outcome, url: str) -> bool:
    """Keep how it ended and tell the others; False when the deployment was not this attempt's any more."""
    if deployment.attempt != attempt or not deployment.active or not may_move(deployment.status, outcome.status):
        return False
    deployment.status, deployment.active_key = outcome.status, None
    deployment.completed_at = now()
    deployment.version += 1
    if outcome.status == "success":
        _go_live(deployment, url)
    elif outcome.failure is not None:
        _fail(deployment, outcome.failure)
    return True


def _go_live(deployment: Deployment, url: str) -> None:
    key = key_of(deployment.project_id, deployment.target)
    leave = update(Deployment).where(Deployment.live_key == key, Deployment.id != deployment.id)
    left = db.session.scalar(leave.values(live_key=None, left_at=now()).returning(Deployment.id))
    if left and deployment.rollback_of_id:
        old = db.session.get(Deployment, left)
        if old is not None:
            old.config = {**old.config, "rolled_back": True}
    deployment.live_key, deployment.live_at, deployment.deployed_url = key, now(), url
    deployment.progress, deployment.current_step = 100, "Live"
    if deployment.started_at:
        deployment.build_duration = round((now() - deployment.started_at).total_seconds())
    _close_step(deployment.id, "switch")
    emit(DeploymentLive(deployment.id, deployment.project_id, url, deployment.rollback_of_id is not None))


def _fail(deployment: Deployment, failure: plans.Failure) -> None:
    deployment.error_message, deployment.error_cause = failure.message, failure.cause
    deployment.error_hint, deployment.current_step = failure.hint, "Failed"
    close_stages(deployment.id, failure.message)
    emit(DeploymentFailed(deployment.id, deployment.project_id, failure.cause, failure.message))


@use_case(Permission.DEPLOYMENTS_RUN, on=hold)
def give_up(actor: Actor, deployment: Deployment, failure: plans.Failure) -> str:
    """End a deployment that nobody works on, whichever attempt it was; its project's id."""
    if deployment.active:
        deployment.status, deployment.active_key = "failed", None
        deployment.completed_at = now()
        deployment.version += 1
        _fail(deployment, failure)
    return deployment.project_id


def stranded(worked_on: Collection[str]) -> list[str]:
    """Active deployments that are not worked on and have not moved for a while."""
    old = now() - STRANDED_AFTER
    active = select(Deployment.id).where(Deployment.active_key.is_not(None), Deployment.updated_at < old)
    found = [deployment_id for deployment_id in db.session.scalars(active) if deployment_id not in worked_on]
    db.session.rollback()
    return found


@use_case(Permission.DEPLOYMENTS_RUN)
def readdress(actor: Actor, project_id: str, settings: Settings) -> None:
    """What serves answers at the project's address of today."""
    live = live_of(project_id)
    if live is not None:
        live.deployed_url = plans.url_of(projects.find(actor, project_id).slug, settings)


@use_case(Permission.DEPLOYMENTS_RUN, on=hold)
def crashed(actor: Actor, deployment: Deployment, failure: plans.Failure, successor_id: str | None) -> None:
    """A version that crashed within its watch makes way for the one before it, if there is one."""
    if not deployment.live:
        return
    deployment.live_key, deployment.left_at, deployment.status = None, now(), "failed"
    deployment.version += 1
    _fail(deployment, failure)
    db.session.flush()
    if successor_id is None:
        return
    before = find(actor, successor_id)
    before.live_key, before.left_at = key_of(before.project_id, before.target), None
    before.version += 1
