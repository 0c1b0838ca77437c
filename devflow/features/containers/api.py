"""Containers as JSON."""

from __future__ import annotations

from devflow.core.errors import NotFound
from devflow.features.containers import service
from devflow.features.containers.schemas import ContainerOut
from devflow.ports.engine import Engine
from devflow.web.api import ApiBlueprint
from devflow.web.identity import actor
from devflow.web.ports import port

bp = ApiBlueprint("containers", __name__, url_prefix="/projects/<project_id>/containers")


@bp.get("", calls=service.of_project, raises=(NotFound,))
def index(project_id: str) -> list[ContainerOut]:
    """The containers of a project, with what they use now."""
    return service.of_project(actor(), project_id, port(Engine))
