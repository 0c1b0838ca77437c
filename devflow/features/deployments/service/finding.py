"""Find, list and describe deployments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select

from devflow.core.access import Actor, Permission
from devflow.core.db import db
from devflow.core.errors import NotFound
from devflow.core.paging import Page, count_up_to, paginate
from devflow.core.reach import of_team, reachable
from devflow.core.use_case import query, refusal
from devflow.features.deployments.models import Deployment, Stage
from devflow.features.deployments.rules.states import COARSE, FILTERS
from devflow.features.deployments.schemas import DeploymentQuery, LogQuery
from devflow.features.projects import service as projects
from devflow.ports.logs import Line, Logs

PRODUCTION = "production"
OPENING = 2000
"""Lines a page of a log begins with."""

SLICE = 2000
"""Lines that follow at once, backwards; a browser files so many without being felt."""


def find(actor: Actor, key: str) -> Deployment:
    """The deployment with this id, if the actor may see it."""
    deployment = db.session.get(Deployment, key)
    if deployment is None or not actor.sees(deployment):
        raise NotFound(f"Deployment with ID '{key}' not found.", code="DEPLOYMENT_NOT_FOUND")
    return deployment


def hold(actor: Actor, key: str) -> Deployment:
    """The same to change its state: nobody else can until this transaction ends (SQLite has one writer anyway)."""
    alone = select(Deployment).where(Deployment.id == find(actor, key).id).with_for_update()
    deployment = db.session.scalar(alone.execution_options(populate_existing=True))
    if deployment is None:
        raise NotFound(f"Deployment with ID '{key}' not found.", code="DEPLOYMENT_NOT_FOUND")
    return deployment


@query(Permission.DEPLOYMENTS_READ, on=find)
def show(actor: Actor, deployment: Deployment) -> Deployment:
    return deployment


@query(Permission.DEPLOYMENTS_READ)
def search(actor: Actor, asked: DeploymentQuery, team_id: str | None = None) -> Page[Deployment]:
    """Deployments the actor sees, newest first; with `team_id` those of one team."""
    return paginate(_matching(actor, asked, team_id).order_by(Deployment.id.desc()), asked)


def _matching(actor: Actor, asked: DeploymentQuery, team_id: str | None, *, any_status: bool = False) -> Select[Any]:
    rows = select(Deployment)
    if asked.project_id:
        project = projects.find(actor, asked.project_id)
        if not actor.may(Permission.DEPLOYMENTS_READ, project):
            raise refusal(actor, Permission.DEPLOYMENTS_READ, project)
        rows = rows.where(Deployment.project_id == project.id)
    else:
        rows = rows.where(_mine(actor, team_id))
    if words := () if any_status else FILTERS[asked.status]:
        rows = rows.where(Deployment.status.in_(words)) if len(words) > 1 else rows.where(Deployment.status == words[0])
    if asked.branch:
        rows = rows.where(Deployment.branch == asked.branch)
    if asked.from_date:
        rows = rows.where(Deployment.created_at >= _utc(asked.from_date))
    if asked.to_date:
        rows = rows.where(Deployment.created_at <= _utc(asked.to_date))
    if asked.search:
        like: Any = [
            column.icontains(asked.search, autoescape=True)
            for column in (Deployment.repo, Deployment.commit_message, Deployment.branch, Deployment.author)
        ]
        rows = rows.where(or_(Deployment.commit_hash.startswith(asked.search.lower(), autoescape=True), *like))
    return rows


def _mine(actor: Actor, team_id: str | None = None) -> ColumnElement[bool]:
    place = (Deployment.team_id, Deployment.project_id)
    if team_id is not None:
        return of_team(actor, Permission.DEPLOYMENTS_READ, team_id, *place)
    return reachable(actor, Permission.DEPLOYMENTS_READ, *place)


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@query(Permission.DEPLOYMENTS_READ)
def counts(actor: Actor, asked: DeploymentQuery, team_id: str | None = None) -> dict[str, int]:
    """How many there are of each status, for the filter; capped as a page's total is."""
    rows = _matching(actor, asked, team_id, any_status=True)
    words = ("queued", "building", "success", "failed", "cancelled")
    found = {w: count_up_to(rows.where(Deployment.status.in_(FILTERS[w])), 1001) for w in words}
    return {"all": sum(found.values()), **found}


@query(Permission.DEPLOYMENTS_READ)
def recent(actor: Actor, limit: int = 5, team_id: str | None = None) -> list[Deployment]:
    """The newest deployments the actor sees; with `team_id` those of one team."""
    rows = select(Deployment).where(_mine(actor, team_id)).order_by(Deployment.id.desc()).limit(limit)
    return list(db.session.scalars(rows))


def of_project(project_id: str, limit: int = 10) -> list[Deployment]:
    rows = select(Deployment).where(Deployment.project_id == project_id).order_by(Deployment.number.desc()).limit(limit)
    return list(db.session.scalars(rows))


def live_of(project_id: str) -> Deployment | None:
    """What serves a project's production target now."""
    return db.session.scalar(select(Deployment).where(Deployment.live_key == key_of(project_id)))


def active_of(project_id: str) -> Deployment | None:
    """What is being worked on for a project."""
    return db.session.scalar(select(Deployment).where(Deployment.active_key == key_of(project_id)))


def live_by_project(project_ids: Iterable[str]) -> dict[str, Deployment]:
    keys = [key_of(project_id) for project_id in project_ids]
    rows = db.session.scalars(select(Deployment).where(Deployment.live_key.in_(keys)))
    return {row.project_id: row for row in rows}


def latest_by_project(project_ids: Iterable[str]) -> dict[str, Deployment]:
    """The newest deployment of each project."""
    ids = list(project_ids)
    newest = (
        select(Deployment.project_id, func.max(Deployment.number).label("number"))
        .where(Deployment.project_id.in_(ids))
        .group_by(Deployment.project_id)
    ).subquery()
    both = (Deployment.project_id == newest.c.project_id) & (Deployment.number == newest.c.number)
    rows = db.session.scalars(select(Deployment).join(newest, both))
    return {row.project_id: row for row in rows}


def key_of(project_id: str, target: str = PRODUCTION) -> str:
    return f"{project_id}/{target}"


_SHOWN = (
    "id", "number", "target", "trigger", "branch", "repo", "repository_url", "commit_hash", "commit_message", "author",
    "user_name", "framework", "kind", "progress", "current_step", "url", "created_at", "started_at", "live_at", "live",
    "duration_seconds", "error_message", "error_cause", "error_hint", "active", "rollback_of_id",
)  # fmt: skip


def with_projects(actor: Actor, rows: Iterable[Deployment]) -> list[dict[str, Any]]:
    """Deployments as pages show them, each with its project; one query for all projects."""
    found = list(rows)
    known = projects.by_ids({row.project_id for row in found})
    return [for_page(row, known[row.project_id]) for row in found if row.project_id in known]


def for_page(row: Deployment, project: Any) -> dict[str, Any]:
    """One deployment as pages show it."""
    return {
        **{name: getattr(row, name) for name in _SHOWN},
        "status": row.shown_status,
        "finished_at": row.completed_at,
        "queue_position": queue_position(row) if row.status == "queued" else 0,
        "can_return": row.live_at is not None and not row.live and not (row.artifact or {"gone": True}).get("gone"),
        "project": project,
    }


def queue_position(deployment: Deployment) -> int:
    """1 for the next in the platform's queue; 0 when it waits no more."""
    if deployment.status != "queued":
        return 0
    ahead = select(func.count()).where(Deployment.status == "queued", Deployment.id < deployment.id)
    return (db.session.scalar(ahead) or 0) + 1


def stages(deployment: Deployment) -> list[Stage]:
    """Its steps in order."""
    mine = select(Stage).where(Stage.deployment_id == deployment.id).order_by(Stage.position)
    return list(db.session.scalars(mine))


def coarse_stages(deployment: Deployment) -> list[dict[str, Any]]:
    """The contract's four stages: Queued, Building, Deploying and how it ended."""
    steps = stages(deployment)
    found: list[dict[str, Any]] = []
    for name, title in COARSE.items():
        mine = [step for step in steps if step.stage_name == name and step.status != "skipped"]
        begun = [step for step in mine if step.started_at]
        status = _together([step.status for step in mine])
        started = min((step.started_at for step in begun if step.started_at), default=None)
        done = status in ("completed", "failed")
        ended = max((step.completed_at for step in mine if step.completed_at), default=None) if done else None
        error = next((step.error_message for step in mine if step.error_message), None)
        found.append(_stage(title, status, started, ended, error))
    over = deployment.status in ("success", "failed", "cancelled")
    title = deployment.status.capitalize() if over else "Success"
    status = {"success": "completed", "failed": "failed", "cancelled": "failed"}.get(deployment.status, "pending")
    found.append(_stage(title, status, deployment.completed_at, deployment.completed_at, deployment.error_message))
    return found


def _stage(name: str, status: str, started: Any, ended: Any, error: str | None) -> dict[str, Any]:
    return {
        "name": name, "status": status, "timestamp": started, "started_at": started,
        "completed_at": ended, "error_message": error,
    }  # fmt: skip


def _together(statuses: list[str]) -> str:
    if "failed" in statuses:
        return "failed"
    if "in_progress" in statuses:
        return "in_progress"
    if statuses and all(status == "completed" for status in statuses):
        return "completed"
    return "in_progress" if "completed" in statuses else "pending"


def usual_seconds(project_id: str) -> int | None:
    """How long the last good deployments of a project took, on average."""
    mine = (
        select(Deployment.build_duration)
        .where(Deployment.project_id == project_id, Deployment.status == "success", Deployment.rollback_of_id.is_(None))
        .order_by(Deployment.number.desc())
        .limit(5)
    )
    seconds = [value for value in db.session.scalars(mine) if value is not None]
    return max(1, round(sum(seconds) / len(seconds))) if seconds else None


def stamp(deployment: Deployment, at: int) -> str:
    """`00:05`: minutes and seconds since the deployment was made (`at`: Unix milliseconds)."""
    seconds = max(0, at // 1000 - int(deployment.created_at.timestamp()))
    return f"{seconds // 60:02d}:{seconds % 60:02d}"


def present(deployment: Deployment, line: Line) -> dict[str, Any]:
    """A log line in the words of the contract."""
    return {
        "id": line.seq,
        "timestamp": datetime.fromtimestamp(line.at / 1000, UTC),
        "level": line.level,
        "message": line.message,
        "line": f"[{stamp(deployment, line.at)}] {line.message}",
        "stage": line.step,
        "stream": line.stream,
    }


@query(Permission.DEPLOYMENTS_READ, on=find)
def logs(actor: Actor, deployment: Deployment, asked: LogQuery, store: Logs) -> dict[str, Any]:
    """Log lines in order; `after` (the last id seen) wins over `page`."""
    skip = 0 if asked.after else (asked.page - 1) * asked.limit
    if asked.level or asked.search or asked.since:
        found, total = _filtered(deployment, asked, store, skip)
        more = total > skip + len(found)
    else:
        total = store.last_seq(deployment.log_stream)
        found = list(store.read(deployment.log_stream, asked.after or skip, asked.limit))
        more = bool(found) and found[-1].seq < total
    lines = [present(deployment, line) for line in found]
    return {
        "logs": lines,
        "log_lines": [line["line"] for line in lines],
        "total_lines": total,
        "has_more": more,
        "next_after": found[-1].seq if found else asked.after,
    }


def log_paging(answer: dict[str, Any], asked: LogQuery) -> dict[str, Any]:
    """Where in the log an answer of `logs` stands, in the words of every list."""
    skip = 0 if asked.after else (asked.page - 1) * asked.limit
    page = Page(answer["logs"], answer["total_lines"], False, asked.page, asked.limit, skip)
    return {**page.meta(), "has_more": answer["has_more"]}


def _filtered(deployment: Deployment, asked: LogQuery, store: Logs, skip: int) -> tuple[list[Line], int]:
    """The lines that fit, and how many there are after `asked.after`."""
    wanted, begin = asked.search.lower(), int(_utc(asked.since).timestamp() * 1000) if asked.since else 0
    found: list[Line] = []
    since, total = asked.after, 0
    while chunk := store.read(deployment.log_stream, since, 5000):
        since = chunk[-1].seq
        for line in chunk:
            if line.at >= begin and (not asked.level or line.level == asked.level) and wanted in line.message.lower():
                total += 1
                if skip < total <= skip + asked.limit:
                    found.append(line)
    return found, total


def log_text(deployment: Deployment, store: Logs) -> Iterator[str]:
    """The whole log as text, in pieces."""
    since = 0
    while chunk := store.read(deployment.log_stream, since, 5000):
        since = chunk[-1].seq
        yield "".join(f"[{stamp(deployment, line.at)}] {line.message}\n" for line in chunk)


def opening(deployment: Deployment, store: Logs, lines: int = OPENING) -> int:
    """After which line a page begins to show a log: near the end of a long one, where a line names its step."""
    last = store.last_seq(deployment.log_stream)
    if last <= 2 * lines:
        return 0
    found = store.tail(deployment.log_stream, lines)
    return next((line.seq for line in found if line.step), last - lines + 1) - 1


def earlier(deployment: Deployment, store: Logs, before: int) -> Iterator[Sequence[Line]]:
    """All lines before this one: the last slice first, each in order."""
    upto = min(before - 1, store.last_seq(deployment.log_stream))
    while upto > 0 and (slice := store.read(deployment.log_stream, max(0, upto - SLICE), min(SLICE, upto))):
        yield slice
        upto = slice[0].seq - 1


def last_lines(deployment: Deployment, store: Logs, limit: int = 1000) -> list[dict[str, Any]]:
    return [present(deployment, line) for line in store.tail(deployment.log_stream, limit)]
