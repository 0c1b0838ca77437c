"""Create, find, change and delete projects and their variables."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy import delete as remove

from devflow.core.access import Actor, Permission
from devflow.core.crypto import vault
from devflow.core.db import db
from devflow.core.errors import Conflict, Invalid, NotFound
from devflow.core.paging import Page, paginate
from devflow.core.reach import of_team, reachable
from devflow.core.use_case import emit, query, use_case
from devflow.features.audit import service as audit
from devflow.features.projects.events import ProjectCreated, ProjectDeleted, ProjectUpdated
from devflow.features.projects.models import Project, Variable
from devflow.features.projects.schemas import (
    ProjectIn,
    ProjectListed,
    ProjectPatch,
    ProjectQuery,
    address_problem,
    is_slug,
    server_of,
    short_name,
    slug_from,
)
from devflow.features.teams import service as teams
from devflow.ports.git import Credentials, Repository

MASK = "***"
"""What is answered in place of a variable's value."""


def find(actor: Actor, key: str) -> Project:
    """The project with this id or slug, if the actor may see it."""
    project = db.session.get(Project, key) or db.session.scalar(select(Project).where(Project.slug == key))
    if project is None or not actor.sees(project):
        raise NotFound(f"There is no project '{key}' among yours.")
    return project


@query(Permission.PROJECTS_READ, on=find)
def show(actor: Actor, project: Project) -> Project:
    return project


@query(Permission.PROJECTS_READ)
def search(actor: Actor, asked: ProjectQuery) -> Page[Project]:
    """Projects of the actor's teams."""
    column = getattr(Project, asked.sort)
    rows = select(Project).order_by(column.desc() if asked.order == "desc" else column, Project.id)
    if asked.team_id:
        rows = rows.where(of_team(actor, Permission.PROJECTS_READ, asked.team_id, Project.team_id, Project.id))
    else:
        rows = rows.where(_mine(actor))
    if asked.status:
        rows = rows.where(Project.status == asked.status)
    if asked.framework:
        rows = rows.where(Project.framework == asked.framework)
    if asked.search:
        rows = rows.where(Project.name.icontains(asked.search, autoescape=True))
    return paginate(rows, asked)


def _mine(actor: Actor) -> ColumnElement[bool]:
    return reachable(actor, Permission.PROJECTS_READ, Project.team_id, Project.id)


def named(actor: Actor, limit: int = 200, team_id: str | None = None) -> list[Project]:
    """The actor's projects by name, for menus; of one team, what is shared with them from elsewhere comes last."""
    rows = select(Project).where(_mine(actor)).limit(limit)
    if team_id is not None:
        rows = rows.where(or_(Project.team_id == team_id, Project.team_id.not_in(actor.team_ids)))
        rows = rows.order_by(Project.team_id != team_id)
    return list(db.session.scalars(rows.order_by(Project.name)))


def shared(actor: Actor, limit: int = 50) -> list[Project]:
    """Single projects of foreign teams on which the actor may do something, by name."""
    if not actor.projects:
        return []
    rows = select(Project).where(_mine(actor), Project.team_id.not_in(actor.team_ids)).order_by(Project.name)
    return list(db.session.scalars(rows.limit(limit)))


def of_team_id(team_id: str, limit: int = 200) -> list[Project]:
    """What a team owns, by name."""
    rows = select(Project).where(Project.team_id == team_id).order_by(Project.name, Project.id)
    return list(db.session.scalars(rows.limit(limit)))


def count_by_team(team_ids: list[str]) -> dict[str, int]:
    """How many projects each team has."""
    mine = select(Project.team_id, func.count()).where(Project.team_id.in_(team_ids)).group_by(Project.team_id)
    found: Any = db.session.execute(mine)
    return {row[0]: row[1] for row in found}


def addresses() -> list[tuple[str, str, str]]:
    """Id, slug and status of every project, for the edge."""
    found = db.session.execute(select(Project.id, Project.slug, Project.status))
    return [(row[0], row[1], row[2]) for row in found]


def status_of(project_id: str) -> str | None:
    return db.session.scalar(select(Project.status).where(Project.id == project_id))


def by_ids(ids: set[str]) -> dict[str, Project]:
    """Projects by id, for lists that show them beside something else."""
    return {row.id: row for row in db.session.scalars(select(Project).where(Project.id.in_(ids)))} if ids else {}


def by_repository(actor: Actor, repository: str, team_id: str | None = None) -> Project | None:
    """The newest project made from this repository (URL, slug or short name) that the actor may deploy."""
    plain = repository.removesuffix("/").removesuffix(".git")
    written = [plain + end for end in ("", "/", ".git", ".git/")]
    same: list[ColumnElement[bool]] = [Project.repository.in_(written), Project.slug == plain]
    if not set("/:") & set(plain):
        same += [Project.repository.endswith(mark + name, autoescape=True) for mark in "/:" for name in written]
    mine = reachable(actor, Permission.DEPLOYMENTS_CREATE, Project.team_id, Project.id)
    rows = select(Project).where(mine, or_(*same)).order_by(Project.id.desc()).limit(1)
    return db.session.scalar(rows.where(Project.team_id == team_id) if team_id else rows)


def slug_is_free(slug: str) -> bool:
    return is_slug(slug) and db.session.scalar(select(Project.id).where(Project.slug == slug)) is None


def _free_slug(name: str) -> str:
    first = slug_from(name)
    slug, number = first, 1
    while not slug_is_free(slug):
        number += 1
        slug = f"{first[:58]}-{number}"
    return slug


@use_case(Permission.PROJECTS_CREATE)
def create(actor: Actor, data: ProjectIn) -> Project:
    """A new project of one of the actor's teams."""
    check_address(data.repository_url)
    name = data.name or short_name(data.repository_url)
    if data.slug is not None and not slug_is_free(data.slug):
        raise Conflict(f"The name {data.slug} is taken. Choose another one.")
    fields = data.model_dump(
        include={
            "framework", "root_directory", "install_command", "build_command", "start_command", "output_dir",
            "dockerfile", "docker_compose_path", "port", "health_path", "health_timeout", "memory_mb", "cpus",
            "php_version", "auto_deploy", "access",
        }
    )  # fmt: skip
    project = Project(
        team_id=teams.choose(actor, data.team_id, Permission.PROJECTS_CREATE),
        user_id=actor.id or None,
        name=name,
        slug=data.slug or _free_slug(name),
        repository=data.repository_url,
        branch=data.branch or "main",
        **fields,
    )
    _keep_credential(project, data)
    db.session.add(project)
    db.session.flush()
    for variable, value in data.environment_variables.items():
        db.session.add(_variable(actor, project, variable, value or ""))
    audit.record(actor, "project.created", project)
    emit(ProjectCreated(project.id))
    return project


def check_address(repository: str) -> None:
    """Raises Invalid (INVALID_REPOSITORY) for what is no address, or one that would tell a password to everybody."""
    if problem := address_problem(repository):
        raise Invalid(problem, {"repository_url": [problem]}, code="INVALID_REPOSITORY")


def _keep_credential(project: Project, data: ProjectIn) -> None:
    secret = {"key": data.private_key, "token": data.token}.get(data.access, "")
    if data.access != "public" and not secret:
        field = "private_key" if data.access == "key" else "token"
        raise Invalid("The credential is missing.", {field: ["Needed to read this repository."]})
    project.sealed_credential = vault().seal(secret) if secret else None


def repository(project: Project, *, allow_local: bool) -> Repository:
    """How to reach the project's repository, credential included."""
    secret = vault().open(project.sealed_credential) if project.sealed_credential else None
    if project.access == "key":
        credentials = Credentials(ssh_key=secret)
    elif project.access == "token":
        credentials = Credentials(token=secret)
    else:
        credentials = Credentials()
    return Repository(project.repository, credentials, allow_local)


@use_case(Permission.PROJECTS_UPDATE, on=find)
def update(actor: Actor, project: Project, data: ProjectPatch) -> Project:
    """Change the fields that were sent."""
    after = data.model_dump(exclude_unset=True)
    variables = after.pop("environment_variables", None)
    if after.get("slug") and after["slug"] != project.slug and not slug_is_free(after["slug"]):
        raise Conflict(f"The name {after['slug']} is taken. Choose another one.")
    if after.get("repository_url"):
        after["repository"] = after.pop("repository_url")
        check_address(after["repository"])
        after |= _without_token(project, after["repository"])
    if token := after.pop("token", None):
        after |= {"access": "token", "sealed_credential": vault().seal(token)}
    nullable = {"sealed_credential", "port", "health_timeout", "memory_mb", "cpus", "php_version"}
    after = {key: value for key, value in after.items() if value is not None or key in nullable}
    changes = audit.difference({key: getattr(project, key) for key in after}, after)
    if "sealed_credential" in changes:
        changes["sealed_credential"] = audit.CHANGED
    for key, value in after.items():
        setattr(project, key, value)
    if variables:
        changes |= _merge_variables(actor, project, variables)
    if changes:
        audit.record(actor, "project.updated", project, changes)
        emit(ProjectUpdated(project.id))
    return project


def _without_token(project: Project, repository: str) -> dict[str, Any]:
    """A token stays with the server it was given for: whoever moves the project elsewhere has to give a new one."""
    moved = server_of(repository) != server_of(project.repository)
    return {"access": "public", "sealed_credential": None} if moved and project.access == "token" else {}


@query(Permission.PROJECTS_READ, on=find)
def variables(actor: Actor, project: Project) -> list[Variable]:
    """The project's variables by name, without their values."""
    mine = select(Variable).where(Variable.project_id == project.id).order_by(Variable.name)
    return list(db.session.scalars(mine))


@use_case(Permission.PROJECTS_UPDATE, on=find)
def set_variables(actor: Actor, project: Project, values: dict[str, str | None]) -> list[Variable]:
    """Merge by key; null deletes."""
    changes = _merge_variables(actor, project, values)
    if changes:
        audit.record(actor, "project.variables_changed", project, changes)
        emit(ProjectUpdated(project.id))
    return variables(actor, project)


def _merge_variables(actor: Actor, project: Project, values: dict[str, str | None]) -> dict[str, Any]:
    mine = {v.name: v for v in db.session.scalars(select(Variable).where(Variable.project_id == project.id))}
    changes: dict[str, Any] = {}
    for name, value in values.items():
        known = mine.get(name)
        if value is None and known is not None:
            db.session.delete(known)
        elif value is not None and known is not None:
            known.sealed, known.updated_by = vault().seal(value), actor.id or None
        elif value is not None:
            db.session.add(_variable(actor, project, name, value))
        else:
            continue
        changes[f"environment.{name}"] = audit.CHANGED if value is not None else "deleted"
    db.session.flush()
    return changes


def _variable(actor: Actor, project: Project, name: str, value: str) -> Variable:
    return Variable(project_id=project.id, name=name, sealed=vault().seal(value), updated_by=actor.id or None)


def environment(project: Project) -> dict[str, str]:
    """The values themselves, for a deployment."""
    mine = select(Variable).where(Variable.project_id == project.id).order_by(Variable.name)
    return {row.name: vault().open(row.sealed) for row in db.session.scalars(mine)}


def sealed_variables(project: Project) -> dict[str, str]:
    """The variables as they are kept: names with encrypted values."""
    mine = select(Variable).where(Variable.project_id == project.id).order_by(Variable.name)
    return {row.name: row.sealed for row in db.session.scalars(mine)}


def describe(project: Project) -> dict[str, Any]:
    """A project as JSON, its variables masked."""
    mine = db.session.scalars(select(Variable.name).where(Variable.project_id == project.id).order_by(Variable.name))
    listed = ProjectListed.model_validate(project).model_dump()
    return {**listed, "environment_variables": dict.fromkeys(mine, MASK)}


@use_case(Permission.PROJECTS_DELETE, on=find)
def delete(actor: Actor, project: Project) -> None:
    """Delete the project and all it owns; what runs for it is taken down by those who hear of it."""
    audit.record(actor, "project.deleted", project)
    emit(ProjectDeleted(project.id, project.slug))
    db.session.execute(remove(Project).where(Project.id == project.id))
