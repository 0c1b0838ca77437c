"""Who can reach a project, and by what."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from devflow.core.errors import Conflict, Invalid
from devflow.core.settings import Settings
from devflow.features.projects import service as projects
from devflow.features.security.schemas import GrantIn
from devflow.features.security.service import assigning, listing
from devflow.features.settings import service as platform
from devflow.web.identity import actor
from devflow.web.pages import checked, redirect, render
from devflow.web.ports import port

bp = Blueprint("access", __name__)


@bp.route("/projects/<slug>/access", methods=["GET", "POST"])
def project(slug: str) -> ResponseReturnValue:
    values, errors = request.form.to_dict(), dict[str, list[str]]()
    if request.method == "POST":
        try:
            data = checked(GrantIn, {**values, "team_id": None, "project_id": slug})
            given = assigning.share(actor(), data.place, data.email, data.role_id, data.effect)
            return redirect(url_for("access.project", slug=slug), _said(given))
        except (Invalid, Conflict) as error:
            errors = getattr(error, "fields", {}) or {"form": [error.message]}
    shown, key = projects.find(actor(), slug), f"project:{slug}"
    settings = platform.current(port(Settings))
    return render(
        "security/access.html", "form", 422 if errors else 200, project=shown, values=values, errors=errors,
        url=settings.site_url(f"{shown.slug}.{settings.base_domain}"), people=listing.reaching(actor(), key),
        offered=assigning.offered(actor(), key),
    )  # fmt: skip


def _said(given: Any) -> str:
    if given.email:
        return f"Kept for {given.email}. It counts for the account with this address, once the address is verified."
    return "Saved. It counts from their next request."


@bp.post("/projects/<slug>/access/<grant_id>/withdraw")
def withdraw(slug: str, grant_id: str) -> ResponseReturnValue:
    assigning.withdraw(actor(), f"project:{slug}", grant_id)
    return redirect(url_for("access.project", slug=slug), "Taken back. It counts from their next request.")
