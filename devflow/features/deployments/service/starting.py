"""Ask for deployments: start, redeploy, roll back, cancel, delete."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, or_, select, update
from sqlalchemy.exc import IntegrityError

from devflow.core.access import Actor, Permission
from devflow.core.clock import now
from devflow.core.crypto import vault
from devflow.core.db import db
from devflow.core.errors import Conflict, Invalid, TooMany
from devflow.core.settings import Settings
from devflow.core.use_case import emit, use_case
from devflow.features.accounts.service import verifying
from devflow.features.audit import service as audit
from devflow.features.deployments.events import (
    CancelRequested,
    DeploymentCancelled,
    DeploymentDeleted,
    DeploymentQueued,
)
from devflow.features.deployments.models import Deployment, Numbering, Stage
from devflow.features.deployments.rules.detect import Overrides
from devflow.features.deployments.rules.plan import Snapshot
from devflow.features.deployments.rules.states import STEPS
from devflow.features.deployments.schemas import DeployIn, DeploymentIn, RedeployIn, RollbackIn
from devflow.features.deployments.service.finding import PRODUCTION, find, hold, key_of
from devflow.features.projects import service as projects
from devflow.features.projects.schemas import ProjectIn, ProjectPatch, short_name
from devflow.features.projects.service import Project


@use_case(Permission.DEPLOYMENTS_CREATE, on=projects.find)
def start(actor: Actor, project: Project, data: DeployIn, settings: Settings, trigger: str = "manual") -> Deployment:
    """Queue a deployment of the project; the build begins once this is committed."""
    snapshot = _snapshot(project)
    deployment = Deployment(
        branch=data.branch or project.branch,
        commit_hash=data.commit_hash.lower() if data.commit_hash else None,
        clear_cache=data.clear_cache,
        trigger=trigger,
        config=snapshot.stored(),
        sealed_env=vault().seal(_env_text(projects.environment(project))),
    )
    return _queue(actor, project, deployment, settings, force=data.force)


@use_case(Permission.DEPLOYMENTS_CREATE)
def start_repository(actor: Actor, data: DeploymentIn, settings: Settings) -> Deployment:
    """Deploy a repository: its project is found or made (conflicts.md C54)."""
    project = (
        projects.find(actor, data.project_id)
        if data.project_id
        else projects.by_repository(actor, data.repository, data.team_id)
    )
    if project is None:
        made = ProjectIn(
            repository_url=data.repository,
            branch=data.branch,
            build_command=data.build_command or "",
            output_dir=data.output_dir or "",
            environment_variables=data.env_vars,
            team_id=data.team_id,
        )
        project = projects.create(actor, made)
    else:
        sent = {"build_command": data.build_command, "output_dir": data.output_dir}
        changed = {name: value for name, value in sent.items() if value is not None}
        if data.env_vars:
            changed["environment_variables"] = data.env_vars  # type: ignore[assignment]
        if changed:
            projects.update(actor, project, ProjectPatch.model_validate(changed))
    return start(actor, project, data, settings, trigger="api")


@use_case(Permission.DEPLOYMENTS_CREATE, on=find)
def redeploy(actor: Actor, old: Deployment, data: RedeployIn, settings: Settings) -> Deployment:
    """The same commit once more, with the project's settings and variables of today."""
    project = projects.find(actor, old.project_id)
    again = DeployIn(branch=old.branch, commit_hash=old.commit_hash, clear_cache=data.clear_cache, force=data.force)
    deployment = start(actor, project, again, settings, trigger="redeploy")
    deployment.redeploy_of_id = old.id
    deployment.commit_message, deployment.author = old.commit_message, old.author
    return deployment


@use_case(Permission.DEPLOYMENTS_CREATE, on=projects.find)
def roll_back(actor: Actor, project: Project, data: RollbackIn, settings: Settings) -> Deployment:
    """Bring an earlier version back, as it was: its build, its settings, its variables."""
    old = find(actor, data.target_deployment_id)
    if old.project_id != project.id or old.artifact is None or old.live_at is None:
        message = "Only a version of this project that has been live can come back."
        raise Invalid(message, {"target_deployment_id": [message]})
    if old.artifact.get("gone"):
        raise Conflict(
            f"Nothing is kept of #{old.number} any more; the {settings.keep_images} newest versions are. "
            "Deploy its commit again.",
            code="INVALID_STATE",
        )
    if old.live:
        raise Conflict("This version serves already.", code="INVALID_STATE")
    deployment = Deployment(
        branch=old.branch,
        commit_hash=old.commit_hash,
        commit_message=old.commit_message,
        author=old.author,
        trigger="rollback",
        rollback_of_id=old.id,
        artifact=old.artifact,
        kind=old.kind,
        framework=old.framework,
        config=Snapshot.read(old.config).stored(),
        sealed_env=old.sealed_env,
    )
    return _queue(actor, project, deployment, settings, force=data.force)


def _snapshot(project: Project) -> Snapshot:
    overrides = Overrides(
        root_directory=project.root_directory,
        framework=project.framework,
        install_command=project.install_command,
        build_command=project.build_command,
        start_command=project.start_command,
        output_directory=project.output_dir,
        port=project.port,
        dockerfile=project.dockerfile,
        php_version=project.php_version or "",
    )
    return Snapshot(overrides, project.health_path, project.health_timeout, project.memory_mb, project.cpus)


def _env_text(env: dict[str, str]) -> str:
    return "\x00".join(f"{name}={value}" for name, value in env.items())


def _queue(actor: Actor, project: Project, deployment: Deployment, settings: Settings, *, force: bool) -> Deployment:
    verifying.require_verified(actor, settings)
    if project.status == "inactive":
        raise Conflict(
            f"{project.name} is inactive, so nothing of it is served. Set it active in its settings, then deploy.",
            code="INVALID_STATE",
        )
    _mind_the_limit(actor, settings)
    active = select(Deployment).where(Deployment.active_key == key_of(project.id)).with_for_update()
    running = db.session.scalar(active.execution_options(populate_existing=True))
    if running is not None:
        if not force:
            raise _in_progress(running)
        _end_active(actor, running, "Replaced by a newer deployment.")
        db.session.flush()
    deployment.number = _next_number(project.id)
    deployment.project_id, deployment.team_id = project.id, project.team_id
    deployment.user_id, deployment.user_name = actor.id or None, actor.name
    deployment.repo = short_name(project.repository)
    deployment.repository_url = project.repository
    deployment.target = PRODUCTION
    deployment.active_key = key_of(project.id)
    db.session.add(deployment)
    try:
        db.session.flush()
    except IntegrityError as error:  # PostgreSQL: somebody else was faster by a moment
        raise Conflict(
            "Another deployment of this project was started just now.", code="DEPLOYMENT_IN_PROGRESS"
        ) from error
    _add_stages(deployment)
    audit.record(actor, "deployment.queued", deployment, name=f"{project.name} #{deployment.number}")
    emit(DeploymentQueued(deployment.id, project.id))
    return deployment


def _next_number(project_id: str) -> int:
    """Numbers are never given twice: image tags, folders and people know a deployment by its number."""
    given = db.session.get(Numbering, project_id, with_for_update=True)
    if given is None:
        newest = db.session.scalar(select(func.max(Deployment.number)).where(Deployment.project_id == project_id))
        given = Numbering(project_id=project_id, last=newest or 0)
        db.session.add(given)
    given.last += 1
    return given.last


def _in_progress(running: Deployment) -> Conflict:
    return Conflict(
        f"Deployment #{running.number} of this project is still {running.status}. Wait for it, or cancel it first.",
        code="DEPLOYMENT_IN_PROGRESS",
        deployment_id=running.id,
        hint="Send force=true to cancel it and deploy at once.",
    )


def _mind_the_limit(actor: Actor, settings: Settings) -> None:
    if not actor.id:
        return
    hour_ago = now() - timedelta(hours=1)
    mine = select(Deployment.created_at).where(Deployment.user_id == actor.id, Deployment.created_at > hour_ago)
    started = list(db.session.scalars(mine.order_by(Deployment.created_at).limit(settings.deployments_per_hour + 1)))
    if len(started) >= settings.deployments_per_hour:
        wait = max(1, round((started[0] - hour_ago).total_seconds()))
        raise TooMany(
            f"You have started {settings.deployments_per_hour} deployments within an hour. "
            f"The next one can start in {max(1, wait // 60)} min."
            + (" DEPLOYMENTS_PER_HOUR sets the limit." if actor.may(Permission.PLATFORM_MANAGE) else ""),
            wait,
        )


def _add_stages(deployment: Deployment) -> None:
    begun = now()
    for position, (step, facts) in enumerate(STEPS.items()):
        first = position == 0
        row = Stage(deployment_id=deployment.id, stage_name=facts.stage, step=step, position=position)
        row.status, row.started_at = ("in_progress", begun) if first else ("pending", None)
        db.session.add(row)


@use_case(Permission.DEPLOYMENTS_CANCEL, on=hold)
def cancel(actor: Actor, deployment: Deployment, reason: str = "") -> Deployment:
    """End an active deployment. What serves goes on serving."""
    if not deployment.active:
        raise Conflict(f"Deployment #{deployment.number} is over already ({deployment.status}).", code="INVALID_STATE")
    _end_active(actor, deployment, reason or f"Cancelled by {actor.name}.")
    return deployment


def _end_active(actor: Actor, deployment: Deployment, why: str) -> None:
    deployment.status, deployment.active_key = "cancelled", None
    deployment.cancelled_at = deployment.completed_at = now()
    deployment.error_message, deployment.error_cause = why, "cancelled"
    deployment.current_step = "Cancelled"
    deployment.version += 1
    close_stages(deployment.id, why)
    audit.record(actor, "deployment.cancelled", deployment, name=f"{deployment.repo} #{deployment.number}")
    emit(CancelRequested(deployment.id, deployment.project_id))
    emit(DeploymentCancelled(deployment.id, deployment.project_id))


def close_stages(deployment_id: str, why: str) -> None:
    """The open step failed, what was to come is skipped."""
    mine = update(Stage).where(Stage.deployment_id == deployment_id)
    open_one = mine.where(Stage.status == "in_progress")
    db.session.execute(open_one.values(status="failed", completed_at=now(), error_message=why))
    db.session.execute(mine.where(Stage.status == "pending").values(status="skipped"))


@use_case(Permission.DEPLOYMENTS_DELETE, on=hold)
def delete(actor: Actor, deployment: Deployment) -> None:
    """Delete the record with its log, stages and artifact; not while it works or serves."""
    if deployment.active:
        raise Conflict("It is still being worked on. Cancel it first.", code="INVALID_STATE")
    if deployment.live:
        raise Conflict("It serves the project now. Deploy another version first.", code="INVALID_STATE")
    image, folder = _of_its_own(deployment)
    audit.record(actor, "deployment.deleted", deployment, name=f"{deployment.repo} #{deployment.number}")
    emit(DeploymentDeleted(deployment.id, deployment.project_id, deployment.log_stream, image, folder))
    db.session.delete(deployment)


def _of_its_own(deployment: Deployment) -> tuple[str, str]:
    """The image and the folder of a deployment, each empty if a version has it too: a rollback shares its target's."""
    mine = deployment.artifact or {}
    others = select(Deployment.artifact).where(
        Deployment.project_id == deployment.project_id,
        Deployment.id != deployment.id,
        or_(Deployment.active_key.is_not(None), Deployment.live_at.is_not(None)),
    )
    taken = {other.get(kind) for other in db.session.scalars(others) if other for kind in ("image", "folder")}
    image, folder = (mine.get(kind) or "" for kind in ("image", "folder"))
    return "" if image in taken else image, "" if folder in taken else folder
