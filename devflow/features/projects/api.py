"""Projects as JSON, by the contract of seed 001."""

from __future__ import annotations

from devflow.core.errors import Conflict, Forbidden, Invalid, NotFound
from devflow.features.projects import service
from devflow.features.projects.schemas import (
    ProjectIn,
    ProjectOut,
    ProjectPatch,
    VariableOut,
    VariablesIn,
)
from devflow.web.api import ApiBlueprint, Said
from devflow.web.identity import actor

bp = ApiBlueprint("projects", __name__, url_prefix="/projects")


@bp.post("", calls=service.create, status=201, raises=(Conflict, Invalid, NotFound))
def create(body: ProjectIn) -> ProjectOut:
    """Create a project."""
    return Said(service.describe(service.create(actor(), body)), "Project created successfully")


@bp.put("/<project_id>", calls=service.update, raises=(NotFound, Conflict))
def update(project_id: str, body: ProjectPatch) -> ProjectOut:
    """Change a project; only the fields sent."""
    return service.describe(service.update(actor(), project_id, body))


@bp.get("/<project_id>/variables", calls=service.variables, raises=(NotFound,))
def variables(project_id: str) -> list[VariableOut]:
    """The names of a project's variables; the values are never answered."""
    return service.variables(actor(), project_id)


@bp.put("/<project_id>/variables", calls=service.set_variables, raises=(NotFound, Forbidden))
def set_variables(project_id: str, body: VariablesIn) -> list[VariableOut]:
    """Add, replace or (with null) delete variables."""
    return service.set_variables(actor(), project_id, body.variables)
