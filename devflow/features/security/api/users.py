"""Accounts as administrators and colleagues see them."""

from __future__ import annotations

from devflow.core.errors import Conflict, Forbidden, NotFound
from devflow.core.paging import Page
from devflow.features.accounts.schemas.people import AssignableQuery, PersonOut, UserOut, UserPatch, UserQuery, UserRole
from devflow.features.accounts.service import administering
from devflow.features.security.service import persons, switching
from devflow.web.api import ApiBlueprint
from devflow.web.identity import actor

bp = ApiBlueprint("users", __name__, url_prefix="/users")


@bp.get("", calls=administering.search)
def index(query: UserQuery) -> Page[UserOut]:
    """All accounts, the newest first."""
    return administering.search(actor(), query)


@bp.get("/assignable", calls=persons.assignable)
def assignable(query: AssignableQuery) -> Page[PersonOut]:
    """People something can be assigned to: those of your teams, and staff."""
    return persons.assignable(actor(), query)


@bp.get("/<user_id>", calls=persons.show, raises=(NotFound,))
def show(user_id: str) -> UserOut | PersonOut:
    """One account: all fields for yourself and administrators, a few for colleagues."""
    return persons.show(actor(), user_id)


@bp.patch("/<user_id>", calls=switching.set_active, raises=(NotFound, Forbidden, Conflict))
def set_active(user_id: str, body: UserPatch) -> UserOut:
    """Switch an account off, which ends its sessions and tokens at once, or on again."""
    return switching.set_active(actor(), user_id, body.is_active)


@bp.put("/<user_id>/role", calls=administering.set_role, limit="sensitive", raises=(NotFound, Forbidden, Conflict))
def set_role(user_id: str, body: UserRole) -> UserOut:
    """Set the role on the platform; it counts at once, whatever an older token says."""
    return administering.set_role(actor(), user_id, body.role)
