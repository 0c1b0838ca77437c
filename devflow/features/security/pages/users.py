"""Accounts for administrators: the list, and one account with its roles."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from devflow.core.errors import Invalid
from devflow.features.accounts.schemas.people import UserPatch, UserQuery, UserRole
from devflow.features.accounts.service import administering
from devflow.features.roles.service.vocabulary import BUILT_IN
from devflow.features.security.schemas import AssignIn
from devflow.features.security.service import assigning, overview, switching
from devflow.web.identity import actor
from devflow.web.pages import checked, filters, flashed_error, redirect, render

bp = Blueprint("users", __name__, url_prefix="/admin/users")


@bp.get("")
def index() -> ResponseReturnValue:
    asked = filters(UserQuery)
    page = administering.search(actor(), asked)
    return render("admin/users.html", "rows", page=page, query=asked, roles=list(BUILT_IN))


@bp.get("/<user_id>")
def show(user_id: str) -> ResponseReturnValue:
    return _shown(user_id, {}, {})


def _shown(user_id: str, values: dict[str, Any], errors: dict[str, list[str]]) -> ResponseReturnValue:
    about = overview.of_account(actor(), user_id)
    status = 422 if errors else 200
    return render("admin/user.html", "form", status, about=about, values=values, errors=errors, roles=list(BUILT_IN))


@bp.post("/<user_id>/role")
def set_role(user_id: str) -> ResponseReturnValue:
    who, data = actor(), checked(UserRole, request.form.to_dict())
    with flashed_error():
        user = administering.set_role(who, user_id, data.role)
        return redirect(_back(user_id), f"{user.name} is {user.role.replace('_', ' ')} now")
    return redirect(_back(user_id))


@bp.post("/<user_id>/active")
def set_active(user_id: str) -> ResponseReturnValue:
    who, data = actor(), checked(UserPatch, request.form.to_dict())
    with flashed_error():
        user = switching.set_active(who, user_id, data.is_active)
        return redirect(_back(user_id), f"{user.name} is switched {'on' if user.is_active else 'off'}")
    return redirect(_back(user_id))


@bp.post("/<user_id>/roles")
def give(user_id: str) -> ResponseReturnValue:
    """A role for this person, in the place chosen."""
    who, form = actor(), request.form.to_dict()
    try:
        effect = checked(AssignIn, {"effect": form.get("effect") or "grant"}).effect
        assigning.assign(who, form.get("place", ""), user_id, form.get("role_id", ""), effect)
    except Invalid as error:
        return _shown(user_id, form, error.fields or {"form": [error.message]})
    return redirect(url_for("users.show", user_id=user_id), "Saved. It counts from their next request.")


@bp.post("/<user_id>/roles/<grant_id>/withdraw")
def withdraw(user_id: str, grant_id: str) -> ResponseReturnValue:
    assigning.withdraw(actor(), request.form.get("place", ""), grant_id)
    return redirect(url_for("users.show", user_id=user_id), "Taken back. It counts from their next request.")


def _back(user_id: str) -> str:
    """Where the form was: the list with its filters, or the account."""
    query = request.form.get("list")
    if query is None:
        return url_for("users.show", user_id=user_id)
    return url_for("users.index") + (f"?{quote(query, safe='=&+%')}" if query else "")
