"""Roles for administrators: the list, and one role with its matrix of permissions."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from devflow.core.errors import Conflict, Forbidden, Invalid
from devflow.features.roles.schemas import PermissionOut, RoleIn, RolePatch, RoleQuery
from devflow.features.roles.service import defining
from devflow.web.identity import actor
from devflow.web.pages import checked, filters, redirect, render

bp = Blueprint("roles", __name__, url_prefix="/admin/roles")


@bp.get("")
def index() -> ResponseReturnValue:
    asked = filters(RoleQuery)
    return render("admin/roles.html", "rows", page=defining.search(actor(), asked), query=asked)


@bp.route("/new", methods=["GET", "POST"])
def new() -> ResponseReturnValue:
    if request.method == "GET":
        return _form(None, {"permissions": []}, {})
    try:
        role = defining.create(actor(), checked(RoleIn, _sent()))
    except (Invalid, Conflict, Forbidden) as error:
        return _form(None, _sent(), _errors(error))
    return redirect(url_for("roles.show", role_id=role.id), f"Role {role.name} created")


@bp.route("/<role_id>", methods=["GET", "POST"])
def show(role_id: str) -> ResponseReturnValue:
    role = defining.show(actor(), role_id)
    if request.method == "GET":
        stored = {"name": role.name, "description": role.description, "permissions": role.permissions}
        return _form(role, stored, {})
    try:
        defining.update(actor(), role_id, checked(RolePatch, _sent()))
    except (Invalid, Conflict, Forbidden) as error:
        return _form(role, _sent(), _errors(error))
    return redirect(url_for("roles.show", role_id=role_id), "Saved. It counts from the next request.")


@bp.post("/<role_id>/delete")
def delete(role_id: str) -> ResponseReturnValue:
    defining.delete(actor(), role_id)
    return redirect(url_for("roles.index"), "Role deleted")


def _sent() -> dict[str, Any]:
    return {**request.form.to_dict(), "permissions": request.form.getlist("permissions")}


def _errors(error: Invalid | Conflict | Forbidden) -> dict[str, list[str]]:
    return getattr(error, "fields", {}) or {"form": [error.message]}


def _form(role: Any, values: dict[str, Any], errors: dict[str, list[str]]) -> ResponseReturnValue:
    """The matrix: every permission by its resource."""
    rows = defaultdict[str, list[PermissionOut]](list)
    for permission in defining.permissions(actor()):
        rows[permission.resource].append(permission)
    status = 422 if errors else 200
    return render("admin/role.html", "form", status, role=role, matrix=dict(rows), values=values, errors=errors)
