"""The live log of a deployment, and the bell of the deployments list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson
from flask import Blueprint, request
from sqlalchemy import Select, func, select

from devflow.core.access import Actor, Permission, Scope
from devflow.core.clock import iso, now
from devflow.core.db import db
from devflow.core.errors import Unavailable
from devflow.features.deployments.models import Deployment
from devflow.features.deployments.rules.states import ACTIVE
from devflow.features.deployments.service import finding
from devflow.ports.logs import Line
from devflow.web.identity import actor, again
from devflow.web.sockets import route, stream
from devflow.web.tailer import State, Subscription, Watch

bp = Blueprint("deployment_sockets", __name__)


@dataclass(frozen=True)
class OneByOne:
    """The contract's form: one message a line, the time since the start before its text."""

    began: int

    def __call__(self, lines: Sequence[Line]) -> Iterable[str]:
        for line in lines:
            seconds = max(0, line.at // 1000 - self.began)
            yield _text(
                type="log", timestamp=_iso(line.at), level=line.level,
                message=f"[{seconds // 60:02d}:{seconds % 60:02d}] {line.message}", line=line.seq, stage=line.step,
            )  # fmt: skip


def batched(lines: Sequence[Line]) -> Iterable[str]:
    """Our own page's form: many lines in a message."""
    rows = [[line.seq, line.at, line.level, line.stream, line.step, line.message] for line in lines]
    yield _text(type="lines", **{"from": lines[0].seq, "to": lines[-1].seq}, lines=rows)


def _text(**message: Any) -> str:
    return orjson.dumps(message).decode()


def _iso(milliseconds: int) -> str | None:
    return iso(datetime.fromtimestamp(milliseconds / 1000, UTC))


def _look(deployment_id: str) -> State:
    row = db.session.get(Deployment, deployment_id, populate_existing=True)
    if row is None:
        gone = _text(type="error", message="This deployment was deleted.")
        return State("gone", (gone,), final=True)
    update = _text(
        type="status_update", timestamp=iso(now()), status=row.status, stage=row.state, progress=row.progress,
        current_step=row.current_step, message=row.current_step,
    )  # fmt: skip
    if row.active:
        return State(row.version, (update,))
    complete = _text(
        type="deployment_complete", timestamp=iso(now()), status=row.status, duration=row.duration,
        duration_seconds=row.duration_seconds, url=row.url, message=row.error_message or row.current_step,
    )  # fmt: skip
    return State(row.version, (update, complete), final=True)


def _follow(ws: Any, deployment_id: str, *, on_subscribe: bool) -> None:
    who = actor()
    deployment = finding.show(who, deployment_id)
    render = batched if request.args.get("batch") else OneByOne(int(deployment.created_at.timestamp()))
    since = request.args.get("since", 0, type=int)
    watch = Watch(("deployment", deployment.id), lambda: _look(deployment.id))
    subscription = Subscription(deployment.log_stream, render, max(0, since), watch)
    guard = again(lambda by_then: finding.show(by_then, deployment_id))
    stream(ws, subscription, owner=f"user:{who.id}", guard=guard, on_subscribe=on_subscribe)


@route(bp, "/deployments/<deployment_id>/logs/stream")
def log_stream(ws: Any, deployment_id: str) -> None:
    """Lines as they come, states as they change; closes when the deployment is over."""
    _follow(ws, deployment_id, on_subscribe=not request.args.get("batch"))


def _moves(team_ids: tuple[str, ...]) -> Select[datetime, int]:
    """Asked many times a second: by status, so that an index leads to the few rows that are active."""
    active = (Deployment.team_id.in_(team_ids), Deployment.status.in_(sorted(ACTIVE)))
    return select(func.max(Deployment.updated_at), func.count()).where(*active)


def _changes(team_ids: tuple[str, ...]) -> State:
    """One figure that differs whenever any deployment of these teams has moved."""
    moved, active = db.session.execute(_moves(team_ids)).one()
    return State((str(moved), active), (_text(type="deployments_changed", active=active),))


@route(bp, "/deployments/stream")
def list_stream(ws: Any) -> None:
    """Tells the list that something in it has changed."""
    who = actor()
    teams = _teams(who)
    watch = Watch(("deployments", teams), lambda: _changes(teams))
    stream(ws, Subscription("", watch=watch), owner=f"user:{who.id}", guard=again(partial(_same_teams, teams)))


def _teams(who: Actor) -> tuple[str, ...]:
    return tuple(team for team in who.team_ids if who.may(Permission.DEPLOYMENTS_READ, Scope(team)))


def _same_teams(teams: tuple[str, ...], by_then: Actor) -> None:
    if _teams(by_then) != teams:
        raise Unavailable("Your teams have changed. Open the list again.")
