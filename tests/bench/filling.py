"""Puts many rows and lines into a platform, as years of use would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import insert

from devflow.adapters.logs import open_logs
from devflow.app import create_app
from devflow.core.clock import now
from devflow.core.db import db, transaction
from devflow.core.ids import new_id
from devflow.core.settings import Settings
from devflow.features.deployments.models import Deployment
from devflow.web.ports import port
from tests.journeys.platform import Platform

STATES = ("success", "success", "success", "failed", "cancelled")
BATCH = 5000


def deployments(platform: Platform, project: Mapping[str, Any], count: int) -> list[str]:
    """Finished deployments of a project; their ids, oldest first."""
    app = create_app({"data_dir": platform.folder})
    ids: list[str] = []
    with app.app_context():
        team = _team(str(project["id"]))
        for start in range(0, count, BATCH):
            rows = list(_rows(project, team, start, min(BATCH, count - start)))
            ids += [row["id"] for row in rows]
            with transaction():
                db.session.execute(insert(Deployment), rows)
        db.session.remove()
    return ids


def _team(project_id: str) -> str:
    found = db.session.execute(db.text("select team_id from projects where id = :id"), {"id": project_id}).scalar_one()
    db.session.rollback()
    return str(found)


def _rows(project: Mapping[str, Any], team: str, start: int, count: int) -> Iterator[dict[str, Any]]:
    began = now() - timedelta(days=400)
    for number in range(start, start + count):
        at = began + timedelta(minutes=5 * number)
        yield {
            "id": new_id(), "created_at": at, "updated_at": at, "project_id": project["id"], "team_id": team,
            "user_name": "Ann", "number": 1_000 + number, "status": STATES[number % len(STATES)], "progress": 100,
            "current_step": "Live", "repo": "shop", "repository_url": str(project["repository_url"]),
            "branch": "main" if number % 3 else f"feature-{number % 97}", "commit_hash": f"{number:040x}",
            "commit_message": f"Change number {number}", "author": "Ann", "framework": "python", "kind": "app",
            "config": {}, "started_at": at, "completed_at": at + timedelta(seconds=31), "build_duration": 31,
        }  # fmt: skip


def log(platform: Platform, project_id: str, deployment_id: str, lines: int) -> None:
    """A build's log of so many lines."""
    app = create_app({"data_dir": platform.folder})
    with app.app_context():
        logs = open_logs(port(Settings))
    writer = logs.writer(f"deployment/{project_id}/{deployment_id}")
    for number in range(1, lines + 1):
        step = "clone" if number <= 20 else "build" if number < lines - 50 else "run"
        writer.write(f"#{number % 40} installing package number {number} of {lines} from the index", step=step)
    writer.close()
    logs.close()
