"""Projects with what is live, and the dashboard's figures, as JSON."""

from __future__ import annotations

from typing import Any

from devflow.core.errors import Conflict, NotFound
from devflow.core.paging import Page
from devflow.core.schema import Input, Output
from devflow.core.settings import Settings
from devflow.features.deployments.schemas import DeploymentOut
from devflow.features.deployments.service import finding
from devflow.features.overview import service
from devflow.features.overview.schemas import ProjectDetail, ProjectSummary
from devflow.features.projects.schemas import DeleteQuery, ProjectQuery
from devflow.features.teams.schemas import MemberDetail, TeamListed, TeamListQuery
from devflow.ports.logs import Logs
from devflow.web.api import ApiBlueprint, Said
from devflow.web.identity import actor
from devflow.web.ports import port

bp = ApiBlueprint("overview", __name__)


class StatsOut(Output):
    stats: dict[str, Any]
    recent_deployments: list[DeploymentOut]


class StatsQuery(Input):
    days: int = 7


@bp.get("/projects", calls=service.search)
def index(query: ProjectQuery) -> Page[ProjectSummary]:
    """List the projects of your teams."""
    return service.search(actor(), query, port(Settings))


@bp.get("/projects/<project_id>", calls=service.show, raises=(NotFound,))
def show(project_id: str) -> ProjectDetail:
    """One project with its figures; its id or its slug will do."""
    return service.show(actor(), project_id, port(Settings))


@bp.delete("/projects/<project_id>", calls=service.delete, limit="sensitive", raises=(NotFound, Conflict))
def delete(project_id: str, query: DeleteQuery) -> Said:
    """Delete a project and all it owns."""
    path = None
    if query.backup:
        folder = port(Settings).folder / "backups" / "projects"
        path = f"backups/projects/{service.back_up(actor(), project_id, query.force, port(Logs), folder)}"
    service.delete(actor(), project_id, query.force)
    return Said({"backup_created": path is not None, "backup_path": path}, "Project deleted successfully")


@bp.get("/teams", calls=service.teams_of)
def teams(query: TeamListQuery) -> Page[TeamListed]:
    """List your teams, your own first."""
    return service.teams_of(actor(), query)


@bp.get("/team/members/<member_id>", calls=service.member, raises=(NotFound,))
def member(member_id: str) -> MemberDetail:
    """One member of a team, with their permissions there and the projects they see."""
    return service.member(actor(), member_id)


@bp.get("/dashboard/stats", calls=service.dashboard)
def stats(query: StatsQuery) -> StatsOut:
    """The figures of the dashboard and the newest deployments."""
    found = service.dashboard(actor(), max(1, min(query.days, 90)))
    current, earlier = found["current"], found["earlier"]
    return {
        "stats": {
            "total_deployments": current.total,
            "weekly_change": current.total - earlier.total,
            "active_projects": current.projects,
            "success_rate_percent": None if current.success_rate is None else round(current.success_rate * 100, 1),
            "avg_deploy_time_seconds": current.median_seconds,
        },
        "recent_deployments": finding.recent(actor(), 5),
    }
