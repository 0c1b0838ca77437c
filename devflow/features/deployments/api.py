"""Deployments as JSON, by the contract of seeds 001 and 003."""

from __future__ import annotations

from typing import Any

from flask import request

from devflow.core.errors import Conflict, Forbidden, Invalid, NotFound, TooMany
from devflow.core.paging import Page
from devflow.core.settings import Settings
from devflow.features.deployments.models import Deployment
from devflow.features.deployments.schemas import (
    CancelIn,
    DeployIn,
    DeploymentDetailOut,
    DeploymentIn,
    DeploymentOut,
    DeploymentQuery,
    LogQuery,
    LogsOut,
    ProjectDeploymentQuery,
    QueuedOut,
    RecentQuery,
    RedeployIn,
    RollbackIn,
    RollbackOut,
)
from devflow.features.deployments.service import finding, starting
from devflow.features.settings import service as platform
from devflow.ports.logs import Logs
from devflow.web.api import ApiBlueprint, Said
from devflow.web.files import download
from devflow.web.identity import actor
from devflow.web.ports import port

bp = ApiBlueprint("deployments", __name__)


def _settings() -> Settings:
    return platform.current(port(Settings))


def _queued(deployment: Deployment) -> dict[str, Any]:
    shown = DeploymentOut.model_validate(deployment).model_dump()
    return {
        **shown,
        "queue_position": finding.queue_position(deployment),
        "estimated_time": finding.usual_seconds(deployment.project_id),
    }


@bp.get("/deployments", calls=finding.search)
def index(query: DeploymentQuery) -> Page[DeploymentOut]:
    """List the deployments you can see, newest first."""
    return finding.search(actor(), query)


@bp.get("/deployments/recent", calls=finding.recent, unwrapped="recent_deployments")
def recent(query: RecentQuery) -> list[DeploymentOut]:
    """The newest deployments."""
    return finding.recent(actor(), query.limit)


@bp.post("/deployments", calls=starting.start_repository, status=201, raises=(Conflict, NotFound, TooMany, Invalid))
def create(body: DeploymentIn) -> QueuedOut:
    """Deploy a repository; its project is found or made."""
    return _queued(starting.start_repository(actor(), body, _settings()))


@bp.post("/projects/<project_id>/deploy", calls=starting.start, status=201, raises=(Conflict, NotFound, TooMany))
def deploy(project_id: str, body: DeployIn) -> QueuedOut:
    """Deploy a project."""
    queued = starting.start(actor(), project_id, body, _settings(), trigger="api")
    return Said(_queued(queued), "Deployment queued successfully")


@bp.get("/projects/<project_id>/deployments", calls=finding.search, raises=(NotFound,))
def of_project(project_id: str, query: ProjectDeploymentQuery) -> Page[DeploymentOut]:
    """The deployments of a project, newest first."""
    return finding.search(actor(), query.model_copy(update={"project_id": project_id}))


@bp.post(
    "/projects/<project_id>/rollback",
    calls=starting.roll_back,
    status=201,
    raises=(Conflict, NotFound, Invalid, TooMany),
)
def roll_back(project_id: str, body: RollbackIn) -> RollbackOut:
    """Bring an earlier version back."""
    deployment = starting.roll_back(actor(), project_id, body, _settings())
    target = finding.show(actor(), body.target_deployment_id)
    return {  # the seed's own shape
        "rollback_deployment_id": deployment.id,
        "status": deployment.status,
        "target_version": target,
    }


@bp.get("/deployments/<deployment_id>", calls=finding.show, raises=(NotFound,))
def show(deployment_id: str) -> DeploymentDetailOut:
    """One deployment with its stages and the last 1000 lines of its log."""
    deployment = finding.show(actor(), deployment_id)
    lines = finding.last_lines(deployment, port(Logs))
    return {
        **_queued(deployment),
        "stages": finding.coarse_stages(deployment),
        "logs": lines,
        "log_lines": [line["line"] for line in lines],
    }


@bp.get("/deployments/<deployment_id>/logs", calls=finding.logs, raises=(NotFound,), also=("text/plain",))
def logs(deployment_id: str, query: LogQuery) -> LogsOut:
    """Log lines in order; with Accept: text/plain the whole log as text."""
    if request.accept_mimetypes.best == "text/plain":
        deployment = finding.show(actor(), deployment_id)
        return download(finding.log_text(deployment, port(Logs)), f"{deployment.repo}-{deployment.number}.log")
    answer = finding.logs(actor(), deployment_id, query, port(Logs))
    return Said(answer, meta={"pagination": finding.log_paging(answer, query)})


@bp.post("/deployments/<deployment_id>/cancel", calls=starting.cancel, raises=(NotFound, Conflict))
def cancel(deployment_id: str, body: CancelIn) -> DeploymentOut:
    """End an active deployment; what serves goes on serving."""
    deployment = starting.cancel(actor(), deployment_id, body.reason)
    return Said(DeploymentOut.model_validate(deployment), "Deployment cancelled successfully")


@bp.post(
    "/deployments/<deployment_id>/redeploy", calls=starting.redeploy, status=201, raises=(NotFound, Conflict, TooMany)
)
def redeploy(deployment_id: str, body: RedeployIn) -> QueuedOut:
    """The same commit once more."""
    return _queued(starting.redeploy(actor(), deployment_id, body, _settings()))


@bp.delete("/deployments/<deployment_id>", calls=starting.delete, raises=(NotFound, Conflict, Forbidden))
def delete(deployment_id: str) -> Said:
    """Delete a deployment that is over and does not serve."""
    starting.delete(actor(), deployment_id)
    return Said(None, "Deployment deleted successfully")
