"""Projects as the contract answers them: with their last deployment and their figures."""

from __future__ import annotations

from typing import Any

from devflow.core.schema import Moment, Output
from devflow.features.projects.schemas import ProjectListed, ProjectOut


class LastDeployment(Output):
    id: str
    status: str
    deployed_at: Moment | None


class Statistics(Output):
    total_deployments: int
    successful_deployments: int
    failed_deployments: int
    average_deployment_time: float | None
    uptime_percentage: float | None = None


class ProjectSummary(ProjectListed):
    url: str
    last_deployment: LastDeployment | None


class ProjectDetail(ProjectOut):
    url: str
    last_deployment: LastDeployment | None
    live_deployment: LastDeployment | None
    statistics: Statistics
    domains: list[dict[str, Any]]


class DeletedOut(Output):
    backup_created: bool
    backup_path: str | None
