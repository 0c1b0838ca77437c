"""The worker's door to deployments: hears facts, submits jobs, does them."""

from __future__ import annotations

import logging
import shutil
import threading
from collections import defaultdict
from datetime import timedelta
from functools import partial
from pathlib import Path

from devflow.core import jobs
from devflow.core.access import SYSTEM
from devflow.core.clock import now
from devflow.core.errors import DomainError, Unavailable
from devflow.core.events import on
from devflow.core.jobs import Job, Jobs
from devflow.core.settings import Settings
from devflow.features.deployments.events import (
    CancelRequested,
    DeploymentCancelled,
    DeploymentDeleted,
    DeploymentFailed,
    DeploymentLive,
    DeploymentQueued,
)
from devflow.features.deployments.pipeline import keeping, rollout
from devflow.features.deployments.pipeline.tools import Tools
from devflow.features.deployments.rules.plan import Failure, Outcome, Plan, installation_of, secrets_of
from devflow.features.deployments.service import running, serving
from devflow.features.projects.events import ProjectCreated, ProjectDeleted, ProjectUpdated
from devflow.features.settings import service as platform
from devflow.ports.edge import Edge
from devflow.ports.engine import Container, Engine
from devflow.ports.git import Git
from devflow.ports.images import BaseImages
from devflow.ports.logs import Logs
from devflow.web.ports import port

log = logging.getLogger(__name__)
RUN, RETIRE, DISCARD, TAKE_DOWN, PUBLISH = (
    "deployments.run", "deployments.retire", "deployments.discard", "deployments.take_down", "deployments.publish",
)  # fmt: skip
_publishing = threading.Lock()
_keeping: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


def _settings() -> Settings:
    return platform.current(port(Settings))


# Facts become jobs


@on(DeploymentQueued)
def queued(fact: DeploymentQueued) -> None:
    port(Jobs).submit(RUN, fact.deployment_id, once=f"{RUN}:{fact.deployment_id}")


@on(CancelRequested)
def cancel_requested(fact: CancelRequested) -> None:
    port(Jobs).cancel(fact.deployment_id, RUN)


@on(DeploymentLive)
def went_live(fact: DeploymentLive) -> None:
    port(Jobs).submit(RETIRE, fact.project_id, once=f"{RETIRE}:{fact.deployment_id}")


@on(DeploymentFailed)
def failed(fact: DeploymentFailed) -> None:
    port(Jobs).submit(RETIRE, fact.project_id, once=f"{RETIRE}:{fact.deployment_id}:failed")


@on(DeploymentCancelled)
def cancelled(fact: DeploymentCancelled) -> None:
    """Its worker clears away itself; this is for the one that died."""
    port(Jobs).submit(RETIRE, fact.project_id, once=f"{RETIRE}:{fact.deployment_id}:cancelled")


@on(DeploymentDeleted)
def deleted(fact: DeploymentDeleted) -> None:
    port(Jobs).submit(
        DISCARD, fact.deployment_id, once=f"{DISCARD}:{fact.deployment_id}",
        log_stream=fact.log_stream, image=fact.image, folder=fact.folder,
    )  # fmt: skip


@on(ProjectDeleted)
def project_deleted(fact: ProjectDeleted) -> None:
    port(Jobs).submit(TAKE_DOWN, fact.project_id, once=f"{TAKE_DOWN}:{fact.project_id}")


@on(ProjectCreated)
def project_created(fact: ProjectCreated) -> None:
    """From its first moment its address says that nothing is live yet, and not that nobody knows it."""
    port(Jobs).submit(PUBLISH, fact.project_id)


@on(ProjectUpdated)
def project_updated(fact: ProjectUpdated) -> None:
    port(Jobs).submit(PUBLISH, fact.project_id)


# Jobs


WORKER_LOST = Failure(
    "The workers that built this were stopped again and again.", "worker_lost",
    "Look at the server's memory and its log, then redeploy.",
)  # fmt: skip


STRANDED = Failure("DevFlow itself lost this deployment.", "internal", "The server log has the details. Redeploy.")


def _given_up(job: Job) -> None:
    """The last worker that had this deployment died with it."""
    project_id = running.give_up(SYSTEM, job.subject, WORKER_LOST)
    port(Jobs).submit(RETIRE, project_id)


@jobs.handles(RUN, queue="build", given_up=_given_up)
def run(job: Job) -> None:
    plan = running.begin(SYSTEM, job.subject, job.attempt, _settings())
    outcome = carry_out(plan, job)
    if job.lost:
        return
    kept = running.finish(SYSTEM, plan.deployment_id, plan.attempt, outcome, plan.url)
    if outcome.status == "success" and not kept:
        port(Jobs).submit(RETIRE, plan.project_id)  # cancelled at the very end: what has been switched goes back


def carry_out(plan: Plan, job: Job) -> Outcome:
    """Execute the plan with this app's ports, its log open meanwhile."""
    writer = port(Logs).writer(plan.log_stream, secrets_of(plan.env, plan.repository))
    report = running.DatabaseReport(plan, writer, job.cancelled)
    try:
        if plan.attempt > 1:
            report.log(f"The worker was lost. Starting over, attempt {plan.attempt}.", level="warning")
        return rollout.execute(plan, tools(), report)
    except Unavailable as error:
        report.log(error.message, level="error")
        if job.attempt < jobs.MAX_ATTEMPTS:
            report.progress(0, "Trying again soon")
            raise
        return Outcome("failed", failure=Failure(error.message, "unavailable", "Run `devflow doctor` on the server."))
    finally:
        report.settle()
        writer.close()


def tools() -> Tools:
    secret = port(Settings).secret_key.get_secret_value()
    return Tools(port(Git), port(Engine), port(BaseImages), port(Edge), publish_sites, secret)


def publish_sites() -> None:
    """Make the edge know every site; one at a time, so that no older list wins."""
    with _publishing:
        port(Edge).publish(serving.sites(_settings()))


@jobs.handles(PUBLISH)
def publish(job: Job) -> None:
    """A project is new or has changed: its address may be another one, or be open, closed, switched off."""
    inactive = serving.is_inactive(job.subject)
    if not inactive:
        keep_one_serving(job.subject, called_back=True)  # it runs before its address is open again
    publish_sites()
    if inactive:
        keep_one_serving(job.subject)
    running.readdress(SYSTEM, job.subject, _settings())


@jobs.handles(RETIRE)
def retire(job: Job) -> None:
    """Stop what a new version has left behind and clear away what is not kept."""
    settings, engine, edge = _settings(), port(Engine), port(Edge)
    keep_one_serving(job.subject)  # nothing is stopped while the edge still points to it
    holdings = partial(serving.holdings, job.subject, settings.keep_images)
    keeping.retire(
        job.subject,
        holdings,
        engine,
        edge,
        drain_seconds=settings.drain_timeout,
        grace=settings.stop_grace,
        stop=job.cancelled,
    )
    keeping.drop_artifacts(job.subject, serving.folders(settings, job.subject)[1], holdings, engine)
    facts = holdings()
    if not facts.active_ids:
        serving.mark_gone(facts)


@jobs.handles(DISCARD)
def discard(job: Job) -> None:
    """Clear away what a deleted deployment had."""
    for container in port(Engine).containers({"devflow.deployment": job.subject}):
        port(Engine).remove(container.id)
    if image := job.payload["image"]:
        port(Engine).remove_image(image)
    if folder := job.payload["folder"]:
        shutil.rmtree(Path(folder), ignore_errors=True)
    port(Logs).delete(job.payload["log_stream"])


@jobs.handles(TAKE_DOWN)
def take_down(job: Job) -> None:
    """Clear away what a deleted project had."""
    settings = _settings()
    publish_sites()
    folder = serving.folders(settings, job.subject)[1]
    keeping.take_down(job.subject, port(Engine), port(Edge), folder, settings.stop_grace)
    for stream in port(Logs).streams():
        if stream.startswith(f"deployment/{job.subject}/"):
            port(Logs).delete(stream)


# Housekeeping, called by the worker's loops


def keep_all_serving() -> None:
    """Compare rows, engine and edge for every live version, and mend what differs."""
    for project_id in serving.serving_projects():
        try:
            keep_one_serving(project_id)
        except DomainError as error:
            log.warning("Project %s could not be checked: %s", project_id, error)


def keep_one_serving(project_id: str, *, called_back: bool = False) -> None:
    """`called_back`: its container may have been stopped on purpose, which is no crash."""
    with _keeping[project_id]:
        _keep_one_serving(project_id, called_back)


def _keep_one_serving(project_id: str, called_back: bool) -> None:
    settings, engine, edge = _settings(), port(Engine), port(Edge)
    facts = serving.holdings(project_id, settings.keep_images)
    live = facts.live
    if live is None or live.live_at is None:
        if not facts.active_ids and edge.current(project_id) is not None:
            edge.withdraw(project_id)
        return
    if serving.is_inactive(project_id):
        keeping.rest(live, engine, settings.stop_grace)
        return
    watched = not called_back and now() - live.live_at < timedelta(seconds=settings.watch_seconds)

    def run_again(version: keeping.KeptVersion) -> Container | None:
        log.warning("The container of %s is gone; it is run again", version.version)
        return rollout.run_again(running.plan_of(SYSTEM, version.deployment_id, settings), version.artifact, engine)

    fallen = keeping.keep_serving(
        live, facts.previous, facts.active_ids, engine, edge, watched=watched, run_again=run_again
    )
    if fallen is not None:
        _write_down(live.deployment_id, fallen)
        running.crashed(SYSTEM, live.deployment_id, fallen.failure, fallen.successor_id)
        publish_sites()


def _write_down(deployment_id: str, fallen: keeping.Fallen) -> None:
    """The log of a version that fell says why, masked like the rest of it."""
    plan = running.plan_of(SYSTEM, deployment_id, _settings())
    writer = port(Logs).writer(plan.log_stream, secrets_of(plan.env, plan.repository))
    for line in fallen.last_lines:
        writer.write(line, stream="stdout", step="run")
    writer.write(fallen.failure.message, level="error")
    writer.write(fallen.failure.hint)
    writer.close()


def rescue_stranded() -> None:
    """A deployment that no job works on any more is given up, or gets the job that a crash kept from it."""
    for deployment_id in running.stranded(port(Jobs).open_subjects(RUN)):
        if port(Jobs).had(RUN, deployment_id):
            port(Jobs).submit(RETIRE, running.give_up(SYSTEM, deployment_id, STRANDED))
        else:
            port(Jobs).submit(RUN, deployment_id, once=f"{RUN}:{deployment_id}")


def clear_leftovers() -> None:
    """Checkouts of dead workers and containers of deleted deployments."""
    settings = _settings()
    folders = tuple(serving.folders(settings, "")[0].glob("*"))
    active = serving.active_ids()  # after the look: what has begun meanwhile is not in it
    for folder in folders:
        if folder.name.rsplit("-", 1)[0] not in active:
            shutil.rmtree(folder, ignore_errors=True)
    try:
        for container in keeping.orphans(port(Engine), installation_of(settings), serving.known):
            port(Engine).remove(container.id)
        minute = int(now().timestamp() // 60)
        for project_id in keeping.with_leftovers(port(Engine), installation_of(settings), serving.working_ids):
            port(Jobs).submit(RETIRE, project_id, once=f"{RETIRE}:{project_id}:{minute}")
    except DomainError as error:
        log.warning("Leftover containers could not be looked for: %s", error)
