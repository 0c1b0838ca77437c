"""Count deployments: for a project, for a span of time, day by day."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from sqlalchemy import func, select

from devflow.core.clock import now
from devflow.core.db import db
from devflow.core.ids import first_id_at
from devflow.features.deployments.models import Deployment

NEWEST = 500
"""Deployments whose times count for the usual one."""


@dataclass(frozen=True)
class Figures:
    """`median_seconds` is from start to live; None without a success. `success_rate` is 0..1 of those that ended."""

    total: int
    success: int
    failed: int
    projects: int
    median_seconds: float | None

    @property
    def success_rate(self) -> float | None:
        ended = self.success + self.failed
        return self.success / ended if ended else None


def between(team_ids: tuple[str, ...], begin: datetime, end: datetime) -> Figures:
    """What these teams deployed in a span of time."""
    # By ids, which are in the order of time: there is an index of them.
    span = (Deployment.team_id.in_(team_ids), Deployment.id >= first_id_at(begin), Deployment.id < first_id_at(end))
    return _figures(span)


def _figures(where: tuple[Any, ...]) -> Figures:
    grouped: Any = db.session.execute(select(Deployment.status, func.count()).where(*where).group_by(Deployment.status))
    counted: dict[str, int] = {row[0]: row[1] for row in grouped}
    projects = db.session.scalar(select(func.count(func.distinct(Deployment.project_id))).where(*where)) or 0
    newest = (
        select(Deployment.build_duration)
        .where(*where, Deployment.status == "success", Deployment.build_duration.is_not(None))
        .order_by(Deployment.id.desc())
        .limit(NEWEST)
    )
    seconds = [value for value in db.session.scalars(newest) if value is not None]
    return Figures(
        sum(counted.values()),
        counted.get("success", 0),
        counted.get("failed", 0),
        projects,
        median(seconds) if seconds else None,
    )


def of_project(project_id: str) -> dict[str, Any]:
    """The figures of one project, in the words of the contract. An index alone answers how many there are."""
    mine = Deployment.project_id == project_id
    grouped: Any = db.session.execute(select(Deployment.status, func.count()).where(mine).group_by(Deployment.status))
    counted: dict[str, int] = {row[0]: row[1] for row in grouped}
    newest = (
        select(Deployment.build_duration)
        .where(mine, Deployment.status == "success")
        .order_by(Deployment.number.desc())
        .limit(NEWEST)
    )
    seconds = [value for value in db.session.scalars(newest) if value is not None]
    good, bad = counted.get("success", 0), counted.get("failed", 0)
    return {
        "total_deployments": sum(counted.values()),
        "successful_deployments": good,
        "failed_deployments": bad,
        "average_deployment_time": median(seconds) if seconds else None,
        "success_rate": good / (good + bad) if good + bad else None,
    }


def daily(team_ids: tuple[str, ...], days: int) -> list[Figures]:
    """The figures of each of the last days, oldest first."""
    begin = now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
    rows = db.session.execute(
        select(Deployment.created_at, Deployment.status, Deployment.project_id, Deployment.build_duration)
        .where(Deployment.team_id.in_(team_ids), Deployment.id >= first_id_at(begin))
        .order_by(Deployment.id.desc())
        .limit(20_000)
    )
    by_day: dict[int, list[tuple[str, str, int | None]]] = defaultdict(list)
    for created, status, project, seconds in rows:
        by_day[(created - begin).days].append((status, project, seconds))
    return [_of_day(by_day[day]) for day in range(days)]


def _of_day(rows: list[tuple[str, str, int | None]]) -> Figures:
    good = [seconds for status, _, seconds in rows if status == "success" and seconds is not None]
    return Figures(
        len(rows),
        sum(status == "success" for status, _, _ in rows),
        sum(status == "failed" for status, _, _ in rows),
        len({project for _, project, _ in rows}),
        median(good) if good else None,
    )
