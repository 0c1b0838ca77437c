"""The walk of a deployment: obtain, release, run, check, switch. One direction, one rescue."""

from __future__ import annotations

import logging
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from devflow.core.errors import Cancelled, DomainError, StepFailed, Unavailable
from devflow.features.deployments.pipeline import source
from devflow.features.deployments.pipeline.gate import wait_until_healthy
from devflow.features.deployments.pipeline.spoken import AppOutput
from devflow.features.deployments.pipeline.tools import Tools, is_full
from devflow.features.deployments.pipeline.waiting import unless_cancelled
from devflow.features.deployments.rules.plan import ATTEMPT, DEPLOYMENT, Artifact, Failure, Outcome, Plan, Report
from devflow.ports.edge import AppRelease, Release, StaticRelease
from devflow.ports.engine import Container, Engine, RunSpec

log = logging.getLogger(__name__)
PROOF_SECONDS = 15.0
"""How long the edge may take to answer with the new version after the switch."""


def execute(plan: Plan, tools: Tools, report: Report) -> Outcome:
    """Carry out the plan. Whatever goes wrong, what served before goes on serving and nothing is left behind."""
    try:
        if plan.attempt > 1:
            _clear_earlier_attempts(plan, tools)
        if plan.reuse is not None:
            report.skipped("clone", "detect", "build", "release")
            artifact = plan.reuse
            report.log(f"Bringing back {artifact.title}, built before", step="run")
            report.built(artifact)
        else:
            artifact, commit = source.obtain(plan, tools, report)
            plan = replace(plan, commit=commit)
            _run_release_command(plan, tools, report, artifact)
        return _put_live(plan, tools, report, artifact)
    except Cancelled as stop:
        _clean_up(plan, tools, keep_artifact=plan.reuse is not None)
        report.log(stop.message, level="warning", step="")
        return Outcome("cancelled", failure=Failure(stop.message, "cancelled"))
    except Unavailable:
        _clean_up(plan, tools, keep_artifact=plan.reuse is not None)
        raise
    except DomainError as error:
        _clean_up(plan, tools, keep_artifact=plan.reuse is not None)
        return Outcome("failed", failure=_told(error, report))
    except Exception as error:
        log.exception("Deployment %s broke", plan.deployment_id)
        _clean_up(plan, tools, keep_artifact=plan.reuse is not None)
        return Outcome("failed", failure=_told(_explained(error), report))


def _explained(error: Exception) -> StepFailed:
    """An error nobody foresaw, or a disk that filled up meanwhile."""
    if isinstance(error, OSError) and is_full(error):
        return StepFailed(
            "The disk of this server is full.",
            cause="disk_full",
            hint="Delete old deployments or projects, or ask an administrator for more space.",
        )
    return StepFailed(
        f"DevFlow itself made a mistake: {type(error).__name__}.",
        cause="internal",
        hint="The server log has the details.",
    )


def _told(error: DomainError, report: Report) -> Failure:
    cause = getattr(error, "cause", None) or error.error_code.lower()
    hint = getattr(error, "hint", "")
    report.log(error.message, level="error", step="")
    if hint:
        report.log(hint, step="")
    return Failure(error.message, cause, hint)


def _run_release_command(plan: Plan, tools: Tools, report: Report, artifact: Artifact) -> None:
    if not artifact.release_command:
        report.skipped("release")
        return
    report.started("release", f"Running {artifact.release_command}")
    report.log(artifact.release_command, level="command", step="release")
    tools.engine.ensure_network(plan.network, plan.owner_labels)
    spec = replace(
        _run_spec(plan, artifact),
        name=f"{plan.container}-release",
        command=("sh", "-c", artifact.release_command),
        restart=False,
        limits=replace(plan.app_limits, seconds=plan.build_limits.seconds),
    )
    code = tools.engine.run_to_end(
        spec, lambda stream, text: report.log(text, stream=stream, step="release"), report.cancelled
    )
    if code != 0:
        raise StepFailed(
            f"The release command ended with exit code {code}.",
            cause="release_failed",
            hint="Its output is in the log above. Traffic stays with the version before.",
        )
    report.finished("release")


def _run_spec(plan: Plan, artifact: Artifact) -> RunSpec:
    return RunSpec(
        name=plan.container,
        image=artifact.image or plan.image,
        network=plan.network,
        env=plan.run_env(artifact),
        command=("sh", "-c", artifact.command) if artifact.command else None,
        labels=plan.labels,
        limits=plan.app_limits,
    )


def _put_live(plan: Plan, tools: Tools, report: Report, artifact: Artifact) -> Outcome:
    if artifact.kind == "static":
        return _put_static_live(plan, tools, report, artifact)
    output = AppOutput(report)
    container = _start(plan, tools, report, artifact, output)
    report.started("check")
    try:
        address = wait_until_healthy(plan, artifact, container, tools.engine, report)
    except StepFailed:
        with suppress(DomainError):
            output.finish(tools.engine.output(container.id, AppOutput.LAST))
        raise
    report.finished("check")
    _switch(plan, tools, report, artifact, AppRelease(plan.version, address, artifact.port))
    return Outcome("success", artifact, plan.container)


def _put_static_live(plan: Plan, tools: Tools, report: Report, artifact: Artifact) -> Outcome:
    folder = Path(artifact.folder or "")
    if not folder.is_dir():
        raise StepFailed(
            "The files of this version are not kept any more.", cause="artifact_gone", hint="Deploy its commit again."
        )
    report.skipped("release", "run", "check")
    _switch(plan, tools, report, artifact, StaticRelease(plan.version, folder))
    return Outcome("success", artifact)


def _start(plan: Plan, tools: Tools, report: Report, artifact: Artifact, output: AppOutput) -> Container:
    report.started("run")
    if artifact.image and tools.engine.image(artifact.image) is None:
        raise StepFailed(
            "The image of this version is not kept any more.", cause="artifact_gone", hint="Deploy its commit again."
        )
    tools.engine.ensure_network(plan.network, plan.owner_labels)
    container = tools.engine.run(_run_spec(plan, artifact), output)
    report.log(f"Started {plan.container}, port {artifact.port}", step="run")
    report.finished("run")
    return container


def run_again(plan: Plan, artifact: Artifact, engine: Engine) -> Container | None:
    """A new container for a version whose own is gone; None when its image is gone too."""
    if engine.image(artifact.image or plan.image) is None:
        return None
    engine.ensure_network(plan.network, plan.owner_labels)
    return engine.run(_run_spec(plan, artifact))


def _switch(plan: Plan, tools: Tools, report: Report, artifact: Artifact, release: Release) -> None:
    """Point the edge at the new version and believe it only when the edge has answered with it."""
    report.started("switch")
    before = tools.edge.current(plan.project_id)
    tools.edge.switch(plan.project_id, release)
    try:
        tools.publish()
        _prove(plan, tools, report, artifact)
    except BaseException:
        _switch_back(plan, tools, before)
        raise
    report.log(f"Live at {plan.url}", level="success", step="switch")


def _prove(plan: Plan, tools: Tools, report: Report, artifact: Artifact) -> None:
    deadline = time.monotonic() + PROOF_SECONDS
    path = plan.health.path if artifact.kind == "app" else "/"
    answer = None
    while time.monotonic() < deadline:
        with suppress(Unavailable):
            answer = unless_cancelled(partial(tools.edge.ask, plan.host, path, timeout=5), report.cancelled)
            served = answer.status < 500 or artifact.kind == "static" or answer.closed
            if answer.version == plan.version and served:
                behind = ", behind the page that says the site is closed" if answer.closed else ""
                said = f"The edge answered {answer.status} with the new version{behind}"
                report.log(said, level="success", step="switch")
                return
            tools.publish()
        time.sleep(0.05)
    said = f"answered {answer.status} with another version" if answer else "did not answer"
    raise StepFailed(
        f"The edge {said} at {plan.host}.", cause="edge_not_proven", hint="Run `devflow doctor` on the server."
    )


def _switch_back(plan: Plan, tools: Tools, before: Release | None) -> None:
    with suppress(DomainError):
        now = tools.edge.current(plan.project_id)
        if now is not None and now.version != plan.version:
            return  # a newer deployment has switched meanwhile
        if before is None:
            tools.edge.withdraw(plan.project_id)
        else:
            tools.edge.switch(plan.project_id, before)


def _clear_earlier_attempts(plan: Plan, tools: Tools) -> None:
    """What a killed worker left of this very deployment."""
    for checkout in plan.work.parent.glob(f"{plan.deployment_id}-*"):
        shutil.rmtree(checkout, ignore_errors=True)
    serving = tools.edge.current(plan.project_id)
    for container in tools.engine.containers({DEPLOYMENT: plan.deployment_id}):
        if container.labels.get(ATTEMPT) == str(plan.attempt):
            continue
        if isinstance(serving, AppRelease) and container.address == serving.address:
            continue  # it had been switched to already; the new attempt replaces it
        tools.engine.remove(container.id)


def _clean_up(plan: Plan, tools: Tools, *, keep_artifact: bool) -> None:
    """Leave nothing of this attempt behind."""
    shutil.rmtree(plan.work, ignore_errors=True)
    with suppress(Unavailable):
        for container in tools.engine.containers({DEPLOYMENT: plan.deployment_id, ATTEMPT: str(plan.attempt)}):
            tools.engine.remove(container.id)
        if not keep_artifact:
            tools.engine.remove_image(plan.image)
    if not keep_artifact:
        shutil.rmtree(plan.output, ignore_errors=True)
