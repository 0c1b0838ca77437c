"""The pages of projects: the list, what is live, variables, settings."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from devflow.core.access import Permission
from devflow.core.errors import Conflict, Invalid
from devflow.core.settings import Settings
from devflow.features.accounts.service import people
from devflow.features.containers import service as containers
from devflow.features.deployments.schemas import DeployIn
from devflow.features.deployments.service import finding, looking, starting
from devflow.features.overview import service
from devflow.features.projects import service as projects
from devflow.features.projects.schemas import SIZES, ProjectPatch, ProjectQuery, VariablesIn
from devflow.features.settings import service as platform
from devflow.features.teams import service as teams
from devflow.ports.engine import Engine
from devflow.web.identity import actor
from devflow.web.pages import checked, filters, or_toast, redirect, render
from devflow.web.place import remembered, show_in
from devflow.web.ports import port

bp = Blueprint("projects", __name__, url_prefix="/projects")


def _settings() -> Settings:
    return platform.current(port(Settings))


@bp.get("")
def index() -> ResponseReturnValue:
    who, asked = actor(), filters(ProjectQuery)
    asked.team_id = asked.team_id or teams.chosen_id(who, remembered())
    shared = [] if asked.search or asked.offset else service.together(projects.shared(who), _settings())
    page = service.search(who, asked, _settings())
    return render("projects/index.html", "rows", page=page, query=asked, shared=shared)


def _head(slug: str) -> dict[str, Any]:
    """What every page of a project shows."""
    who = actor()
    project = projects.show(who, slug)
    show_in(project.team_id)
    live, active = finding.live_of(project.id), finding.active_of(project.id)
    return {
        "project": project,
        "live": finding.for_page(live, project) if live else None,
        "active": finding.for_page(active, project) if active else None,
        "live_since": live.live_at if live else None,
        "url": _settings().site_url(f"{project.slug}.{_settings().base_domain}"),
        "base_domain": _settings().base_domain,
    }


@bp.get("/<slug>")
def show(slug: str) -> ResponseReturnValue:
    head, who = _head(slug), actor()
    project = head["project"]
    found = service.show(who, project.id, _settings())
    deploys = who.may(Permission.DEPLOYMENTS_READ, project)
    recent = finding.with_projects(who, finding.of_project(project.id, 8)) if deploys else []
    looks = who.may(Permission.CONTAINERS_READ, project)
    running = containers.of_project(who, project, port(Engine)) if looks else []
    statistics = found["statistics"]
    return render(
        "projects/show.html",
        **head,
        recent=recent,
        stats={
            "deployments": statistics["total_deployments"],
            "success_rate": statistics["success_rate"],
            "median": statistics["average_deployment_time"],
        },
        containers=running,
    )


@bp.post("/<slug>/deploy")
@or_toast(deployment_id="deployments.show")
def deploy(slug: str) -> ResponseReturnValue:
    data = checked(DeployIn, request.form.to_dict())
    deployment = starting.start(actor(), slug, data, _settings())
    return redirect(url_for("deployments.show", deployment_id=deployment.id), "Deployment started")


@bp.route("/<slug>/environment", methods=["GET", "POST"])
def environment(slug: str) -> ResponseReturnValue:
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        try:
            data = checked(VariablesIn, {"variables": request.form.get("variables", "")})
            count = len(data.variables)
            projects.set_variables(actor(), slug, data.variables)
            said = f"{count} variable{'' if count == 1 else 's'} saved. Redeploy to use them."
            return redirect(url_for("projects.environment", slug=slug), said)
        except Invalid as error:
            errors = error.fields
    head = _head(slug)
    rows = projects.variables(actor(), slug)
    names = people.names({row.updated_by for row in rows if row.updated_by})
    variables = [
        {"name": row.name, "updated_at": row.updated_at, "by": names.get(row.updated_by or "")} for row in rows
    ]
    values = {"variables": request.form.get("variables", "")}
    return render(
        "projects/environment.html", "form", 422 if errors else 200,
        **head, variables=variables, errors=errors, values=values,
    )  # fmt: skip


@bp.post("/<slug>/environment/<name>/delete")
def delete_variable(slug: str, name: str) -> ResponseReturnValue:
    projects.set_variables(actor(), slug, {name: None})
    return redirect(url_for("projects.environment", slug=slug), f"{name} deleted. Redeploy to do without it.")


@bp.route("/<slug>/settings", methods=["GET", "POST"])
def settings(slug: str) -> ResponseReturnValue:
    values, errors = dict[str, Any](), dict[str, list[str]]()
    if request.method == "POST":
        values = _plain(request.form.to_dict())
        try:
            project = projects.update(actor(), slug, checked(ProjectPatch, values))
            said = "Saved. What concerns building and running is used by the next deployment."
            return redirect(url_for("projects.settings", slug=project.slug), said)
        except (Invalid, Conflict) as error:
            errors = getattr(error, "fields", {}) or {"form": [error.message]}
    head = _head(slug)
    project = head["project"]
    stored = {name: getattr(project, name) for name in ProjectPatch.model_fields if hasattr(project, name)}
    stored |= {"output_directory": project.output_dir, "size": _size_of(project)}
    shown = {**stored, **values}
    return render(
        "projects/settings.html", "form", 422 if errors else 200,
        **head, values=shown, errors=errors, sizes=_sizes(), frameworks=looking.frameworks("Detected at each build"),
    )  # fmt: skip


def _plain(form: dict[str, str]) -> dict[str, Any]:
    """A form as the schema knows it: emptied numbers are null, a missing tick is no."""
    values: dict[str, Any] = {name: (value if value != "" else _EMPTY.get(name, "")) for name, value in form.items()}
    if "output_directory" in values:
        values["output_dir"] = values.pop("output_directory")
    if (size := values.pop("size", "")) in SIZES:
        values["cpus"], values["memory_mb"] = SIZES[size]
    values["auto_deploy"] = form.get("auto_deploy") in ("on", "true", "1")
    return values


_EMPTY: dict[str, Any] = {"port": None, "health_timeout": None, "memory_mb": None, "cpus": None, "health_path": "/"}


def _size_of(project: Any) -> str:
    return next((name for name, size in SIZES.items() if size == (project.cpus, project.memory_mb)), "")


def _sizes() -> list[dict[str, Any]]:
    return [{"name": name, "cpus": cpus, "memory_mb": memory} for name, (cpus, memory) in SIZES.items()]


@bp.post("/<slug>/delete")
def delete(slug: str) -> ResponseReturnValue:
    """The page has asked for the name, which stands for `force`."""
    project = projects.show(actor(), slug)
    if request.form.get("confirm", "") not in (project.name, project.slug):
        raise Invalid("Type the project's name to delete it.", {"confirm": ["This is not its name."]})
    service.delete(actor(), project, True)
    return redirect(url_for("projects.index"), f"{project.name} deleted")
