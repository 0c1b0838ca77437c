"""The overview after signing in, and the palette that leads anywhere."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from devflow.core.settings import Settings
from devflow.features.audit import service as audit
from devflow.features.dashboard import rules
from devflow.features.deployments.schemas import DeploymentQuery
from devflow.features.deployments.service import finding
from devflow.features.overview import service as overview
from devflow.features.projects import service as projects
from devflow.features.projects.schemas import ProjectQuery
from devflow.features.teams import service as teams
from devflow.web.identity import actor
from devflow.web.pages import render
from devflow.web.place import remembered
from devflow.web.ports import port

bp = Blueprint("dashboard", __name__)


@bp.get("/dashboard")
def index() -> ResponseReturnValue:
    who = actor()
    team = teams.chosen_id(who, remembered())
    found = overview.search(who, ProjectQuery(limit=50, team_id=team), port(Settings))
    figures = overview.dashboard(who, team_id=team)
    recent = finding.recent(who, 5, team)
    return render(
        "dashboard/index.html",
        stats=rules.stats(figures),
        live=[_live(item) for item in found.items if item["live_deployment"]],
        recent=finding.with_projects(who, recent),
        activity=[_act(audit.described(entry)) for entry in audit.recent(who, team)] if team else [],
        first_run=not recent and not found.items,
        project_count=found.total,
    )


def _live(item: dict[str, Any]) -> dict[str, Any]:
    latest = item["last_deployment"]
    return {
        "project": item["project"],
        "deployment": item["live_deployment"],
        "latest": latest,
        "url": item["url"],
    }


def _act(entry: Any) -> dict[str, Any]:
    return {
        "actor": entry.user_name,
        "text": entry.description,
        "at": entry.created_at,
        "url": None,
    }


@bp.get("/palette")
def palette() -> ResponseReturnValue:
    """Projects and deployments that match what was typed."""
    asked = request.args.get("q", "").strip()[:100]
    who = actor()
    found = projects.search(who, ProjectQuery(search=asked, limit=6)).items if asked else projects.named(who, 6)
    deployments = finding.search(who, DeploymentQuery(search=asked, limit=5)).items if asked else []
    entries = [
        {"text": p.name, "kind": "Project", "icon": "box", "url": url_for("projects.show", slug=p.slug)} for p in found
    ]
    entries += [
        {
            "text": f"#{d.number} {d.commit_message or d.branch}",
            "kind": d.repo,
            "icon": "rocket",
            "url": url_for("deployments.show", deployment_id=d.id),
        }
        for d in deployments
    ]
    return render("dashboard/palette.html", entries=entries, projects=found, q=asked)
