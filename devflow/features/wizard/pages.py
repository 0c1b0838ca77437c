"""The three steps: repository, configure, deploy."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Blueprint, request, session, url_for
from flask.typing import ResponseReturnValue

from devflow.core.access import Permission
from devflow.core.errors import Invalid, NotFound
from devflow.core.settings import Settings
from devflow.features.deployments.service import looking, starting
from devflow.features.projects import service as projects
from devflow.features.projects.schemas import SIZES, is_slug
from devflow.features.settings import service as platform
from devflow.features.teams import service as teams
from devflow.features.wizard import service
from devflow.features.wizard.rules import Wish
from devflow.features.wizard.schemas import ConfigureForm, LookForm, NameForm, RepositoryForm
from devflow.ports.git import Git
from devflow.ports.images import BaseImages
from devflow.web.identity import actor
from devflow.web.pages import filters, redirect, render, submits
from devflow.web.place import remembered
from devflow.web.ports import port

bp = Blueprint("wizard", __name__, url_prefix="/deploy")


def _settings() -> Settings:
    return platform.current(port(Settings))


def _draft() -> str:
    """The draft of this browser, made when there is none."""
    known = session.get("draft", "")
    try:
        return str(service.find(actor(), known).id)
    except NotFound:
        session["draft"] = service.begin(actor()).id
        return str(session["draft"])


def _team() -> str | None:
    """The team in whose name this browser makes projects. Raises Forbidden where this person may make none."""
    found = teams.chosen_id(actor(), remembered())
    return teams.choose(actor(), found, Permission.PROJECTS_CREATE) if found else None


def _wish() -> Wish | None:
    try:
        wish = service.open_wish(actor(), session.get("draft", ""))
    except NotFound:
        return None
    return wish if wish.repository_url else None


def _shown(wish: Wish) -> dict[str, Any]:
    """What the second and third step show of a wish."""
    commit = dict(wish.commit) if wish.commit else None
    if commit and commit["committed_at"]:
        commit["committed_at"] = datetime.fromisoformat(commit["committed_at"])
    return {
        "repository_url": wish.repository_url,
        "remote": {"default_branch": wish.default_branch, "branches": wish.branches},
        "commit": commit,
        "detected": wish.detected,
        "sizes": [{"name": name, "cpus": cpus, "memory_mb": memory} for name, (cpus, memory) in SIZES.items()],
        "base_domain": port(Settings).base_domain,
        "frameworks": looking.frameworks("Choose one"),
    }


@bp.route("", methods=["GET", "POST"])
@submits("deploy/repository.html", RepositoryForm, calls=service.begin)
def repository(data: RepositoryForm | None) -> Any:
    _team()
    draft = _draft()
    wish = service.open_wish(actor(), draft)
    settings = _settings()
    if data is None:
        known = {"repository_url": wish.repository_url, "access": wish.access}
        asked = request.args.get("repository", "")
        return {
            "values": {**known, **({"repository_url": asked} if asked else {})},
            "public_key": wish.public_key,
            "local_allowed": settings.allow_local_repositories,
        }
    folder = settings.folder / "drafts" / draft
    wish = service.look_at(wish, data, port(Git), port(BaseImages), settings, folder)
    service.keep(actor(), draft, wish)
    return redirect(url_for("wizard.configure"))


@bp.route("/configure", methods=["GET", "POST"])
@submits("deploy/configure.html", ConfigureForm, calls=service.finish)
def configure(data: ConfigureForm | None) -> Any:
    wish = _wish()
    if wish is None:
        return redirect(url_for("wizard.repository"))
    if data is not None:
        service.keep(actor(), session["draft"], service.configured(actor(), wish, data))
        return redirect(url_for("wizard.confirm"))
    if request.args.get("block") == "detected":
        return _detected_again(wish)
    errors = {"detected": [wish.detected_error]} if wish.detected_error else {}
    return {**_shown(wish), "values": wish.values, "errors": errors}


def _detected_again(wish: Wish) -> ResponseReturnValue:
    """The block that depends on branch and folder, detected anew."""
    settings, draft = _settings(), session["draft"]
    folder = settings.folder / "drafts" / draft
    try:
        wish = service.look_again(wish, filters(LookForm), port(Git), port(BaseImages), settings, folder)
        errors = {"detected": [wish.detected_error]} if wish.detected_error else {}
    except Invalid as error:
        errors = {"detected": [error.message]}
    service.keep(actor(), draft, wish)
    return render("deploy/configure.html", "detected", values=wish.values, errors=errors, **_shown(wish))


@bp.route("/confirm", methods=["GET", "POST"])
def confirm() -> ResponseReturnValue:
    wish = _wish()
    if wish is None or "branch" not in wish.values:
        return redirect(url_for("wizard.repository"))
    if request.method == "POST":
        deployment: starting.Deployment = service.finish(actor(), session["draft"], _settings(), _team())
        session.pop("draft", None)
        return redirect(url_for("deployments.show", deployment_id=deployment.id), "Deployment started")
    return render("deploy/confirm.html", "summary", values=wish.values, errors={}, **_shown(wish))


@bp.get("/name")
def name_free() -> ResponseReturnValue:
    actor()  # only for those who have signed in
    name = filters(NameForm).name.strip().lower()
    free = bool(name) and projects.slug_is_free(name)
    good = is_slug(name)
    return render("deploy/name_free.html", name=name, free=free, good=good, base_domain=port(Settings).base_domain)
