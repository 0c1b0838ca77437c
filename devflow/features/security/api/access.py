"""Roles given in places, and why somebody can or cannot do something."""

from __future__ import annotations

from devflow.core.errors import Conflict, Forbidden, NotFound
from devflow.core.settings import Settings
from devflow.features.security.schemas import (
    AssignIn,
    GrantIn,
    GrantOut,
    HoldingsOut,
    PlaceIn,
    ReachOut,
    RoleName,
    WhyOut,
    WhyQuery,
)
from devflow.features.security.service import assigning, explaining, listing
from devflow.features.settings import service as platform
from devflow.web.api import ApiBlueprint, Said
from devflow.web.identity import actor
from devflow.web.ports import port

bp = ApiBlueprint("access", __name__, url_prefix="/security")


@bp.post(
    "/users/<user_id>/roles/<role_id>",
    calls=assigning.assign,
    limit="sensitive",
    raises=(NotFound, Forbidden, Conflict),
)
def assign(user_id: str, role_id: str, body: AssignIn) -> HoldingsOut:
    """Give a role everywhere, in a team or on a project; or take away there what it holds."""
    return assigning.assign(actor(), body.place, user_id, role_id, body.effect)


@bp.delete(
    "/users/<user_id>/roles/<role_id>",
    calls=assigning.unassign,
    limit="sensitive",
    raises=(NotFound, Forbidden, Conflict),
)
def unassign(user_id: str, role_id: str, query: PlaceIn) -> HoldingsOut:
    """Take a role back in the place where it was given."""
    return Said(assigning.unassign(actor(), query.place, user_id, role_id), "Role removed successfully")


@bp.get("/users/<user_id>/roles", calls=assigning.given_to, raises=(NotFound,))
def given_to(user_id: str) -> list[GrantOut]:
    """Every role given to somebody, with its place."""
    return assigning.given_to(actor(), user_id)


@bp.get("/access", calls=listing.reaching, raises=(NotFound,))
def reaching(query: PlaceIn) -> list[ReachOut]:
    """Who can reach a team or a project, and by what."""
    return listing.reaching(actor(), query.place)


@bp.post("/access", calls=assigning.share, status=201, raises=(NotFound, Forbidden, Conflict))
def share(body: GrantIn) -> GrantOut:
    """Give a role in a place by e-mail address; somebody from outside the team gets it for this project only, and a
    letter."""
    settings = platform.current(port(Settings))
    return assigning.share(actor(), body.place, body.email, body.role_id, body.effect, settings)


@bp.delete("/access/<grant_id>", calls=assigning.withdraw, raises=(NotFound, Forbidden))
def withdraw(grant_id: str, query: PlaceIn) -> None:
    """Undo one grant of a place."""
    assigning.withdraw(actor(), query.place, grant_id)
    return Said(None, "Access removed successfully")


@bp.get("/access/roles", calls=assigning.offered, raises=(NotFound,))
def offered(query: PlaceIn) -> list[RoleName]:
    """The roles you may give in a place."""
    return assigning.offered(actor(), query.place)


@bp.get("/why", calls=explaining.why, raises=(NotFound, Forbidden))
def why(query: WhyQuery) -> WhyOut:
    """Why somebody can or cannot do something, role by role."""
    return explaining.why(actor(), query.permission, query.place, query.user_id)
