"""Deployments as texts to keep, when their project goes."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
from sqlalchemy import select

from devflow.core.db import db
from devflow.features.deployments.models import Deployment
from devflow.features.deployments.schemas import DeploymentOut
from devflow.features.deployments.service.finding import log_text
from devflow.ports.logs import Logs


def whole(project_id: str, store: Logs) -> Iterator[tuple[str, Iterator[str]]]:
    """A file of all deployments of a project, a line of JSON each, and the log of each: name and pieces of text."""
    mine = select(Deployment).where(Deployment.project_id == project_id).order_by(Deployment.number)
    yield "deployments.jsonl", (_line(row) for row in db.session.scalars(mine))
    for row in db.session.scalars(mine):
        if store.last_seq(row.log_stream):
            yield f"logs/{row.number}.log", log_text(row, store)


def _line(row: Deployment) -> str:
    return orjson.dumps(DeploymentOut.model_validate(row).model_dump(mode="json")).decode() + "\n"
