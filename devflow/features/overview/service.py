"""Read projects together with their deployments; delete a project only when nothing is under way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from devflow.core import archive
from devflow.core.access import SYSTEM, Actor, Permission
from devflow.core.clock import now
from devflow.core.errors import Conflict
from devflow.core.paging import Page
from devflow.core.settings import Settings
from devflow.core.use_case import query, use_case
from devflow.features.deployments.service import exporting, figures, finding, starting
from devflow.features.deployments.service.starting import Deployment
from devflow.features.projects import service as projects
from devflow.features.projects.schemas import ProjectListed, ProjectQuery
from devflow.features.projects.service import Project
from devflow.features.teams.schemas import TeamListQuery
from devflow.features.teams.service import finding as teams_finding
from devflow.features.teams.service import membership, running
from devflow.features.teams.service.membership import Member
from devflow.ports.logs import Logs


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
    active = _refuse_busy(project, force)
    if active:
        starting.cancel(actor, active.id, "The project was deleted.")
    projects.delete(actor, project)


def _refuse_busy(project: Project, force: bool) -> Deployment | None:
    """Raises Conflict where only `force` may delete; answers what is being worked on."""
    active, live = finding.active_of(project.id), finding.live_of(project.id)
    if not force and (active or live):
        what = f"deployment #{active.number} is {active.status}" if active else "a version of it serves traffic"
        raise Conflict(f"{project.name} cannot be deleted without force: {what}.", hint="Send force=true.")
    return active


@query(Permission.PROJECTS_DELETE, on=projects.find)
def back_up(actor: Actor, project: Project, force: bool, store: Logs, folder: Path) -> str:
    """Write what a deletion would lose into `folder`; answers the file's name.

    A tar.gz of the project's description, its variables (encrypted as they are kept: only this installation's keys
    open them), its deployments, and their logs.
    """
    _refuse_busy(project, force)
    described = {**projects.describe(project), "sealed_credential": project.sealed_credential}
    parts = {"project.json": described, "variables.json": projects.sealed_variables(project)}
    return archive.write(folder, project.slug, parts, exporting.whole(project.id, store))


@query(Permission.TEAMS_READ)
def teams_of(actor: Actor, asked: TeamListQuery) -> Page[Any]:
    """The actor's teams, each with how many members and projects it has."""
    page = teams_finding.search(actor, asked)
    counts = projects.count_by_team([team["id"] for team in page.items])
    return page.map(lambda team: {**team, "project_count": counts.get(team["id"], 0)})


@query(Permission.MEMBERS_READ, on=membership.find_member)
def member(actor: Actor, found: Member) -> dict[str, Any]:
    """One member of a team, with what they may do and the projects they may do it on."""
    shown = membership.show(actor, found)
    sees = Permission.PROJECTS_READ.value in shown["permissions"]
    return {**shown, "projects": projects.of_team_id(found.team_id) if sees else []}


def clear_teams() -> int:
    """Delete what is left of deleted teams: each project as a person would, then the team; returns how many."""
    return sum(clear_team(team_id) for team_id in running.closing())


def clear_team(team_id: str) -> int:
    """The same for one team; 1 when it is gone now."""
    if team_id not in running.closing():
        return 0
    while found := projects.of_team_id(team_id):
        for project in found:
            delete(SYSTEM, project.id, True)
    running.forget(SYSTEM, team_id)
    return 1


@query(Permission.DEPLOYMENTS_READ)
def dashboard(actor: Actor, days: int = 7, team_id: str | None = None) -> dict[str, Any]:
    """Figures of the actor's teams (or of one of them) over the last days, and over as many before."""
    mine = actor.team_ids if team_id is None else (team_id,)
    end = now()
    middle = end - timedelta(days=days)
    current = figures.between(mine, middle, end)
    earlier = figures.between(mine, middle - timedelta(days=days), middle)
    return {"current": current, "earlier": earlier, "daily": figures.daily(mine, days)}
