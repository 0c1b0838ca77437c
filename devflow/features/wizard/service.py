"""Keep drafts, look at repositories, and turn a draft into a project with its first deployment."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete as remove

from devflow.core.access import Actor, Permission
from devflow.core.clock import iso, now
from devflow.core.crypto import vault
from devflow.core.db import db, transaction
from devflow.core.errors import Invalid, NotFound, StepFailed
from devflow.core.settings import Settings
from devflow.core.use_case import forget_session, query, use_case
from devflow.features.deployments.schemas import DeployIn
from devflow.features.deployments.service import looking, starting
from devflow.features.deployments.service.starting import Deployment
from devflow.features.projects import service as projects
from devflow.features.projects.schemas import short_name, slug_from
from devflow.features.wizard.models import Draft
from devflow.features.wizard.rules import Wish, key_pair
from devflow.features.wizard.schemas import ConfigureForm, LookForm, RepositoryForm
from devflow.ports.git import CheckoutLimits, Commit, Git
from devflow.ports.images import BaseImages

LIFETIME = timedelta(days=1)
LOOK_SECONDS = 45.0
"""How long the wizard may take to fetch a repository; the deployment itself may take longer."""
MB = 1024 * 1024


def find(actor: Actor, draft_id: str) -> Draft:
    """The actor's own draft."""
    draft = db.session.get(Draft, draft_id)
    if draft is None or draft.user_id != actor.id or draft.created_at < now() - LIFETIME:
        raise NotFound("This draft is gone. Start again with the repository.")
    return draft


@use_case(Permission.PROJECTS_CREATE)
def begin(actor: Actor) -> Draft:
    """A new, empty draft with a deploy key of its own; old drafts go."""
    db.session.execute(remove(Draft).where(Draft.user_id == actor.id, Draft.created_at < now() - LIFETIME))
    private, public = key_pair("devflow")
    draft = Draft(user_id=actor.id, sealed=vault().seal(Wish(private, public).text()))
    db.session.add(draft)
    db.session.flush()
    return draft


@query(Permission.PROJECTS_CREATE)
def open_wish(actor: Actor, draft_id: str) -> Wish:
    """What is in the draft."""
    return Wish.read(vault().open(find(actor, draft_id).sealed))


@use_case(Permission.PROJECTS_CREATE)
def keep(actor: Actor, draft_id: str, wish: Wish) -> None:
    find(actor, draft_id).sealed = vault().seal(wish.text())


def look_at(wish: Wish, form: RepositoryForm, git: Git, images: BaseImages, settings: Settings, folder: Path) -> Wish:
    """Probe the repository, fetch it and detect what it is. Talks to the network: no transaction is open.

    Raises Invalid at the field that is wrong.
    """
    projects.check_address(form.repository_url)
    wish = replace(wish, repository_url=form.repository_url, access=form.access, token=form.token or wish.token)
    if form.access == "token" and not wish.token:
        raise Invalid("The token is missing.", {"token": ["Paste a token that may read the repository."]})
    forget_session()
    try:
        remote = git.probe(wish.repository(allow_local=settings.allows_local(wish.repository_url)))
    except Invalid as error:
        raise Invalid(error.message, {"repository_url": [error.message]}, code=error.error_code) from error
    names = tuple(name for name, _ in remote.branches)
    if not names:
        text = "This repository has no commit yet. Push one first."
        raise Invalid(text, {"repository_url": [text]}, code="INVALID_REPOSITORY")
    default = remote.default_branch or names[0]
    name = slug_from(short_name(form.repository_url))
    wish = replace(wish, default_branch=default, branches=names, values={"name": _free(name), "size": "medium"})
    return look_again(wish, LookForm(branch=default), git, images, settings, folder)


def _free(name: str) -> str:
    first, number = name, 1
    while not projects.slug_is_free(name):
        number += 1
        name = f"{first[:58]}-{number}"
    return name


def look_again(wish: Wish, form: LookForm, git: Git, images: BaseImages, settings: Settings, folder: Path) -> Wish:
    """Detect anew for another branch or root directory."""
    values = {**wish.values, "branch": form.branch, "root_directory": form.root_directory}
    forget_session()
    try:
        limits = CheckoutLimits(settings.max_repository_size * MB, LOOK_SECONDS)
        repository = wish.repository(allow_local=settings.allows_local(wish.repository_url))
        commit, detected = looking.look(repository, form.branch, form.root_directory, git, images, limits, folder)
    except StepFailed as error:
        said = f"{error.message} {error.hint}".strip()
        return replace(wish, values=values, commit=wish.commit, detected=None, detected_error=said)
    fields = ("install_command", "build_command", "start_command", "output_directory", "port")
    values |= {name: detected.get(name) or "" for name in fields}
    return replace(wish, values=values, commit=_commit(commit), detected=detected, detected_error="")


def _commit(commit: Commit) -> dict[str, Any]:
    return {**asdict(commit), "committed_at": iso(commit.committed_at)}


@query(Permission.PROJECTS_CREATE)
def configured(actor: Actor, wish: Wish, form: ConfigureForm) -> Wish:
    """The wish with the configuration filled in. Raises Invalid when the name is taken."""
    if not projects.slug_is_free(form.name):
        text = f"{form.name} is taken. Choose another name."
        raise Invalid(text, {"name": [text]})
    return replace(wish, values={**wish.values, **form.model_dump()})


@use_case(Permission.PROJECTS_CREATE)
def finish(actor: Actor, draft_id: str, settings: Settings, team_id: str | None = None) -> Deployment:
    """Make the project, in this team or the actor's own, and queue its first deployment."""
    draft = find(actor, draft_id)
    wish = Wish.read(vault().open(draft.sealed))
    if "branch" not in wish.values or not wish.repository_url:
        raise NotFound("This draft is not complete. Start again with the repository.")
    project = projects.create(actor, wish.project().model_copy(update={"team_id": team_id}))
    project.deploy_key = wish.public_key if wish.access == "key" else None
    db.session.delete(draft)
    return starting.start(actor, project, DeployIn(), settings)


def forget_old() -> int:
    """Drop drafts nobody finished."""
    with transaction():
        gone = db.session.execute(remove(Draft).where(Draft.created_at < now() - LIFETIME))
    return getattr(gone, "rowcount", 0)
