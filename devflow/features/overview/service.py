"""Read projects together with their deployments; delete a project only when nothing is under way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from devflow.core.access import Actor, Permission
from devflow.core.clock import now
from devflow.core.errors import Conflict
from devflow.core.paging import Page
from devflow.core.settings import Settings
from devflow.core.use_case import query, use_case
from devflow.features.deployments.service import figures, finding, starting
from devflow.features.projects import service as projects
from devflow.features.projects.schemas import ProjectListed, ProjectQuery
from devflow.features.projects.service import Project


@query(Permission.PROJECTS_READ)
def search(actor: Actor, asked: ProjectQuery, settings: Settings) -> Page[Any]:
    """Projects with their last deployment and what is live."""
    page = projects.search(actor, asked)
    return Page(together(page.items, settings), page.total, page.capped, page.page, page.per_page, page.offset)


def together(items: Sequence[Project], settings: Settings) -> list[dict[str, Any]]:
    """Each project with its last and its live deployment, in two queries for all of them."""
    ids = [project.id for project in items]
    latest, live = finding.latest_by_project(ids), finding.live_by_project(ids)
    return [
        {
            **ProjectListed.model_validate(project).model_dump(),
            "project": project,
            "url": settings.site_url(f"{project.slug}.{settings.base_domain}"),
            "last_deployment": latest.get(project.id),
            "live_deployment": live.get(project.id),
        }
        for project in items
    ]


@query(Permission.PROJECTS_READ, on=projects.find)
def show(actor: Actor, project: Project, settings: Settings) -> dict[str, Any]:
    """One project with its figures."""
    (found,) = together([project], settings)
    return {
        **projects.describe(project),
        **found,
        "statistics": figures.of_project(project.id),
        "domains": [],
    }


@use_case(Permission.PROJECTS_DELETE, on=projects.find)
def delete(actor: Actor, project: Project, force: bool) -> None:
    """Delete a project and all it owns. Without `force` not while a deployment is active or a version serves."""
    active = finding.active_of(project.id)
    live = finding.live_of(project.id)
    if not force and (active or live):
        what = f"deployment #{active.number} is {active.status}" if active else "a version of it serves traffic"
        raise Conflict(f"{project.name} cannot be deleted without force: {what}.", hint="Send force=true.")
    if active:
        starting.cancel(actor, active.id, "The project was deleted.")
    projects.delete(actor, project)


@query(Permission.DEPLOYMENTS_READ)
def dashboard(actor: Actor, days: int = 7) -> dict[str, Any]:
    """Figures of the actor's teams over the last days, and over as many before."""
    end = now()
    middle = end - timedelta(days=days)
    current = figures.between(actor.team_ids, middle, end)
    earlier = figures.between(actor.team_ids, middle - timedelta(days=days), middle)
    return {"current": current, "earlier": earlier, "daily": figures.daily(actor.team_ids, days)}
