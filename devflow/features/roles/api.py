"""Roles and permissions as JSON."""

from __future__ import annotations

from devflow.core.errors import Conflict, Forbidden, NotFound
from devflow.core.paging import Page
from devflow.features.roles.schemas import PermissionOut, PermissionsIn, RoleIn, RoleOut, RolePatch, RoleQuery
from devflow.features.roles.service import defining
from devflow.web.api import ApiBlueprint, Said
from devflow.web.identity import actor

bp = ApiBlueprint("roles", __name__, url_prefix="/security")


@bp.get("/roles", calls=defining.search)
def index(query: RoleQuery) -> Page[RoleOut]:
    """Roles, the built-in ones first."""
    return defining.search(actor(), query)


@bp.post("/roles", calls=defining.create, limit="sensitive", status=201, raises=(Conflict, Forbidden))
def create(body: RoleIn) -> RoleOut:
    """Create a role from permissions you hold yourself."""
    return Said(defining.create(actor(), body), "Role created successfully")


@bp.get("/roles/<role_id>", calls=defining.show, raises=(NotFound,))
def show(role_id: str) -> RoleOut:
    """One role."""
    return defining.show(actor(), role_id)


@bp.patch("/roles/<role_id>", calls=defining.update, limit="sensitive", raises=(NotFound, Forbidden, Conflict))
def update(role_id: str, body: RolePatch) -> RoleOut:
    """Change a role; it counts from the next request of everybody who has it."""
    return defining.update(actor(), role_id, body)


@bp.delete("/roles/<role_id>", calls=defining.delete, limit="sensitive", raises=(NotFound, Forbidden))
def delete(role_id: str) -> None:
    """Delete a role; whoever has it loses it."""
    defining.delete(actor(), role_id)
    return Said(None, "Role deleted successfully")


@bp.post(
    "/roles/<role_id>/permissions",
    calls=defining.set_permissions,
    limit="sensitive",
    raises=(NotFound, Forbidden, Conflict),
)
def set_permissions(role_id: str, body: PermissionsIn) -> RoleOut:
    """Add permissions to a role, remove some, or replace all."""
    return defining.set_permissions(actor(), role_id, body)


@bp.get("/permissions", calls=defining.permissions)
def permissions() -> list[PermissionOut]:
    """Everything a role can hold."""
    return defining.permissions(actor())
