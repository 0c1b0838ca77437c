"""Who can reach a project, or everything of the team, and by what."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from devflow.core.errors import Conflict, Invalid, NotFound, TooMany
from devflow.core.paging import Page
from devflow.core.settings import Settings
from devflow.features.projects import service as projects
from devflow.features.security.schemas import GrantIn, ReachQuery
from devflow.features.security.service import assigning, listing
from devflow.features.security.service.listing import Reach
from devflow.features.settings import service as platform
from devflow.features.teams.service import finding as teams
from devflow.web.identity import actor
from devflow.web.pages import checked, filters, redirect, render
from devflow.web.place import remembered
from devflow.web.ports import port

bp = Blueprint("access", __name__)
_MAILED = "A letter is on its way. The role counts once the address is confirmed."
_NOT_MAILED = "No mail server is set: tell them yourself. The role counts once the address is confirmed."


@bp.route("/projects/<slug>/access", methods=["GET", "POST"])
def project(slug: str) -> ResponseReturnValue:
    place, here = {"project_id": slug}, url_for("access.project", slug=slug)
    answer, values, errors = _given(place, here)
    if answer is not None:
        return answer
    shown, settings = projects.find(actor(), slug), platform.current(port(Settings))
    url = settings.site_url(f"{shown.slug}.{settings.base_domain}")
    return _page(f"project:{slug}", here, values, errors, project=shown, url=url)


@bp.post("/projects/<slug>/access/<grant_id>/withdraw")
def withdraw(slug: str, grant_id: str) -> ResponseReturnValue:
    assigning.withdraw(actor(), f"project:{slug}", grant_id)
    return redirect(url_for("access.project", slug=slug), "Taken back. It counts from their next request.")


@bp.route("/team/access", methods=["GET", "POST"])
def team() -> ResponseReturnValue:
    """The same for everything of the team in the switcher."""
    place, here = {"team_id": _team()}, url_for("access.team")
    answer, values, errors = _given(place, here)
    return answer if answer is not None else _page(f"team:{place['team_id']}", here, values, errors, project=None)


@bp.post("/team/access/<grant_id>/withdraw")
def withdraw_in_team(grant_id: str) -> ResponseReturnValue:
    assigning.withdraw(actor(), f"team:{_team()}", grant_id)
    return redirect(url_for("access.team"), "Taken back. It counts from their next request.")


def _team() -> str:
    chosen = teams.chosen_id(actor(), remembered())
    if chosen is None:
        raise NotFound("You belong to no team.")
    return chosen


def _given(place: dict[str, str], here: str) -> tuple[Any, dict[str, str], dict[str, list[str]]]:
    """What became of the form, if it was sent: the way on, or what to mend."""
    values = request.form.to_dict()
    if request.method != "POST":
        return None, values, {}
    settings = platform.current(port(Settings))
    try:
        data = checked(GrantIn, {"email": "", "role_id": "", **values, **place})
        given = assigning.share(actor(), data.place, data.email, data.role_id, data.effect, settings)
    except (Invalid, Conflict, TooMany) as error:
        return None, values, getattr(error, "fields", {}) or {"form": [error.message]}
    said = "Saved. It counts from their next request."
    if given.email:
        said = f"Kept for {given.email}. " + (_MAILED if settings.smtp_host else _NOT_MAILED)
    return redirect(here, said), values, {}


def _page(key: str, here: str, values: Any, errors: Any, **context: Any) -> ResponseReturnValue:
    everybody, offered = listing.reaching(actor(), key), assigning.offered(actor(), key)
    asked = filters(ReachQuery)
    return render(
        "security/access.html", None if request.method == "POST" else "rows", 422 if errors else 200, address=here,
        everybody=everybody, page=_shown(everybody, asked), query=asked, offered=offered, values=values, errors=errors,
        key=key, **context,
    )  # fmt: skip


def _shown(everybody: list[Reach], asked: ReachQuery) -> Page[Reach]:
    """Those who match, first whoever is an exception: from outside the team, then with a role given here."""
    words, start, size = asked.search.strip().lower(), asked.offset or 0, asked.limit or asked.default_limit
    found = [one for one in everybody if words in one.name.lower() or words in one.email.lower()]
    found.sort(key=lambda one: (one.team_role is not None, not one.grants))
    return Page(found[start : start + size], len(found), False, asked.page, size, start)
