"""Facts about deployments."""

from __future__ import annotations

from dataclasses import dataclass

from devflow.core.events import fact


@fact
@dataclass(frozen=True)
class DeploymentQueued:
    deployment_id: str
    project_id: str


@fact
@dataclass(frozen=True)
class DeploymentStarted:
    deployment_id: str
    project_id: str


@fact
@dataclass(frozen=True)
class DeploymentLive:
    """The edge itself has answered for this version."""

    deployment_id: str
    project_id: str
    url: str
    rollback: bool


@fact
@dataclass(frozen=True)
class DeploymentFailed:
    deployment_id: str
    project_id: str
    cause: str
    message: str


@fact
@dataclass(frozen=True)
class DeploymentCancelled:
    deployment_id: str
    project_id: str


@fact
@dataclass(frozen=True)
class DeploymentDeleted:
    deployment_id: str
    project_id: str
    log_stream: str
    image: str
    folder: str


@fact
@dataclass(frozen=True)
class CancelRequested:
    """A person wants an active deployment to end; its worker is told."""

    deployment_id: str
    project_id: str
