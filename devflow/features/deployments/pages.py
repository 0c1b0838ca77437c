"""The list of deployments and the page of one."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, url_for
from flask.typing import ResponseReturnValue

from devflow.core.settings import Settings
from devflow.features.deployments.models import Deployment
from devflow.features.deployments.rules import telling
from devflow.features.deployments.schemas import DeploymentQuery, EarlierQuery, RedeployIn, RollbackIn
from devflow.features.deployments.service import finding, running, starting
from devflow.features.projects import service as projects
from devflow.features.settings import service as platform
from devflow.features.teams import service as teams
from devflow.ports.logs import Logs
from devflow.web.files import download
from devflow.web.identity import actor
from devflow.web.pages import filters, or_toast, redirect, render
from devflow.web.place import remembered, show_in
from devflow.web.ports import port

bp = Blueprint("deployments", __name__, url_prefix="/deployments")


def _settings() -> Settings:
    return platform.current(port(Settings))


@bp.get("")
def index() -> ResponseReturnValue:
    who, asked = actor(), filters(DeploymentQuery)
    team = teams.chosen_id(who, remembered())
    page = finding.search(who, asked, team)
    shown = finding.with_projects(who, page.items)
    return render(
        "deployments/index.html",
        "rows",
        page=page.map(lambda row: next((d for d in shown if d["id"] == row.id), None)),
        query=asked,
        counts=finding.counts(who, asked, team),
        projects=projects.named(who, team_id=team),
        stream_url=url_for("api.deployment_sockets.list_stream"),
        any_active=any(d["active"] for d in shown),
    )


@bp.get("/<deployment_id>")
def show(deployment_id: str) -> ResponseReturnValue:
    who = actor()
    deployment = finding.show(who, deployment_id)
    project = projects.find(who, deployment.project_id)
    show_in(project.team_id)
    live = finding.live_of(project.id)
    context: dict[str, Any] = {
        "deployment": finding.for_page(deployment, project),
        "stages": telling.steps(finding.stages(deployment), deployment.status),
        "serving": finding.for_page(live, project) if live else None,
        "facts": telling.facts(deployment, project, _settings()),
        "env_changes": _env_changes(deployment, live),
        "usual_seconds": finding.usual_seconds(project.id),
        "log_stream_url": url_for("api.deployment_sockets.log_stream", deployment_id=deployment.id, batch=1),
        "log_download_url": url_for("deployments.log", deployment_id=deployment.id),
        "log_earlier_url": url_for("deployments.earlier", deployment_id=deployment.id),
        "since": finding.opening(deployment, port(Logs)),
    }
    return render("deployments/show.html", **context)


def _env_changes(deployment: Deployment, live: Deployment | None) -> list[dict[str, str]]:
    if live is None or live.id == deployment.id:
        return []
    return telling.env_changes(running.read_env(live.sealed_env), running.read_env(deployment.sealed_env))


@bp.get("/<deployment_id>/log")
def log(deployment_id: str) -> ResponseReturnValue:
    deployment = finding.show(actor(), deployment_id)
    return download(finding.log_text(deployment, port(Logs)), f"{deployment.repo}-{deployment.number}.log")


@bp.get("/<deployment_id>/earlier")
def earlier(deployment_id: str) -> ResponseReturnValue:
    """What the page fetches behind the end of a long log: slices of lines, the last one first, each a line of JSON."""
    deployment = finding.show(actor(), deployment_id)
    slices = finding.earlier(deployment, port(Logs), filters(EarlierQuery).before)
    return Response(
        map(telling.as_rows, slices), mimetype="application/x-ndjson", headers={"Cache-Control": "no-store"}
    )


@bp.post("/<deployment_id>/cancel")
@or_toast(deployment_id="deployments.show")
def cancel(deployment_id: str) -> ResponseReturnValue:
    deployment = starting.cancel(actor(), deployment_id)
    return redirect(url_for("deployments.show", deployment_id=deployment.id), f"#{deployment.number} cancelled")


@bp.post("/<deployment_id>/redeploy")
@or_toast(deployment_id="deployments.show")
def redeploy(deployment_id: str) -> ResponseReturnValue:
    deployment = starting.redeploy(actor(), deployment_id, RedeployIn(), _settings())
    return redirect(url_for("deployments.show", deployment_id=deployment.id), "Deployment started")


@bp.post("/<deployment_id>/rollback")
@or_toast(deployment_id="deployments.show")
def rollback(deployment_id: str) -> ResponseReturnValue:
    old = finding.show(actor(), deployment_id)
    data = RollbackIn(target_deployment_id=old.id)
    deployment = starting.roll_back(actor(), old.project_id, data, _settings())
    return redirect(url_for("deployments.show", deployment_id=deployment.id), f"Returning to #{old.number}")


@bp.post("/<deployment_id>/delete")
@or_toast(deployment_id="deployments.show")
def delete(deployment_id: str) -> ResponseReturnValue:
    starting.delete(actor(), deployment_id)
    return redirect(url_for("deployments.index"), "Deployment deleted")
