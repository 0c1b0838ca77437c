"""How often tokens are used: counted in memory, written together every few seconds.

A process that is killed loses what it counted since; nothing is ever counted twice.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from devflow.core.access import Actor, Permission
from devflow.core.clock import now
from devflow.core.crypto import digest
from devflow.core.db import db, transaction
from devflow.core.use_case import query
from devflow.features.tokens import rules
from devflow.features.tokens.models import ApiToken, TokenUsage, TokenValue
from devflow.features.tokens.service.owning import find

log = logging.getLogger(__name__)
EVERY = 3.0
"""Seconds between two writes."""
SELDOM = timedelta(minutes=1)
"""The last use of a token is written no more often."""
MOST = 50_000
"""Different figures kept while the database is away; more are dropped."""
TOP = 20
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(frozen=True)
class Use:
    """One request that came with a token."""

    token_id: str
    value: str
    method: str
    route: str
    failed: bool
    ip: str
    agent: str


@dataclass
class _Counted:
    """What one process has counted and not written yet."""

    requests: dict[tuple[str, date, str, str], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    values: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    last: dict[str, tuple[datetime, Use]] = field(default_factory=dict)

    def add(self, use: Use, at: datetime) -> None:
        method = use.method if use.method in _METHODS else "OTHER"
        figures = self.requests[use.token_id, at.astimezone(UTC).date(), method, use.route[:200]]
        figures[0] += 1
        figures[1] += use.failed
        self.values[digest(use.value)] += 1
        self.last[use.token_id] = (at, use)

    def take_back(self, earlier: _Counted) -> None:
        """Add what could not be written."""
        for key, (requests, errors) in earlier.requests.items():
            self.requests[key][0] += requests
            self.requests[key][1] += errors
        for value, uses in earlier.values.items():
            self.values[value] += uses
        self.last = {**earlier.last, **self.last}


class Counter:
    """Counts uses in this process. `context` opens the surroundings in which the database can be used."""

    def __init__(self, context: Callable[[], AbstractContextManager[Any]], every: float = EVERY) -> None:
        self._context, self._every = context, every
        self._lock = threading.Lock()
        self._counted = _Counted()
        self._writer: threading.Timer | None = None
        self._pid = 0

    def add(self, use: Use) -> None:
        """Count one request; it is written within a few seconds."""
        with self._lock:
            if self._pid != os.getpid():  # after a fork: what was counted before is the parent's to write
                self._pid, self._counted, self._writer = os.getpid(), _Counted(), None
                atexit.register(self.close)
            if len(self._counted.requests) < MOST:
                self._counted.add(use, now())
            if self._writer is None:
                self._writer = threading.Timer(self._every, self._write_later)
                self._writer.daemon = True
                self._writer.start()

    def flush(self) -> None:
        """Write what is counted. What fails before the commit is kept for the next time."""
        with self._lock:
            if self._pid != os.getpid():
                return
            counted, self._counted = self._counted, _Counted()
        if not counted.requests:
            return
        committing = False
        try:
            with transaction():
                _write(counted)
                committing = True  # from here on a failure may have been a success: rather lost than counted twice
        except SQLAlchemyError as error:
            log.warning("The uses of %d tokens could not be written: %s", len(counted.last), error)
            if not committing:
                with self._lock:
                    self._counted.take_back(counted)

    def close(self) -> None:
        """Write what is left; the process ends."""
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None and self._pid == os.getpid():
            writer.cancel()
            self._flush_apart()

    def _write_later(self) -> None:
        with self._lock:
            self._writer = None
        self._flush_apart()

    def _flush_apart(self) -> None:
        try:
            with self._context():
                try:
                    self.flush()
                finally:
                    db.session.remove()
        except Exception:
            log.exception("The uses of tokens could not be written")


def _write(counted: _Counted) -> None:
    known = _alive(counted.last)
    rows = [
        {"token_id": token, "day": day, "method": method, "route": route, "requests": requests, "errors": errors}
        for (token, day, method, route), (requests, errors) in sorted(counted.requests.items())
        if token in known
    ]
    if rows:
        _add_up(rows)
    for key, uses in sorted(counted.values.items()):
        old = update(TokenValue).where(TokenValue.digest == key, TokenValue.until.is_not(None))
        db.session.execute(old.values(uses=TokenValue.uses + uses, last_used_at=now()))
    for token_id, (at, use) in sorted(counted.last.items()):
        seen = or_(ApiToken.last_used_at.is_(None), ApiToken.last_used_at <= at - SELDOM)
        values = {"last_used_at": at, "last_ip": use.ip[:64], "last_agent": use.agent[:300], "last_route": _spelt(use)}
        values["updated_at"] = ApiToken.updated_at  # to be used is no change
        db.session.execute(update(ApiToken).where(ApiToken.id == token_id, seen).values(values))


def _spelt(use: Use) -> str:
    return f"{use.method} {use.route}"[:200]


def _alive(ids: Iterable[str]) -> set[str]:
    """Those tokens that still exist, and will until the commit."""
    rows = select(ApiToken.id).where(ApiToken.id.in_(sorted(ids))).order_by(ApiToken.id)
    return set(db.session.scalars(rows.with_for_update()))


def _add_up(rows: list[dict[str, Any]]) -> None:
    insert: Any = postgresql.insert if db.session.get_bind().dialect.name == "postgresql" else sqlite.insert
    new = insert(TokenUsage).values(rows)
    grown = {
        "requests": TokenUsage.requests + new.excluded.requests,
        "errors": TokenUsage.errors + new.excluded.errors,
    }
    key = [column.name for column in TokenUsage.__table__.primary_key]  # type: ignore[attr-defined]
    db.session.execute(new.on_conflict_do_update(index_elements=key, set_=grown))


@dataclass(frozen=True)
class Usage:
    """What a token was used for in a period."""

    token_id: str
    total_requests: int
    requests_today: int
    error_count: int
    last_used_at: datetime | None
    last_ip: str
    by_day: list[dict[str, Any]]
    by_endpoint: list[dict[str, Any]]


@query(Permission.TOKENS_READ)
def usage(actor: Actor, token_id: str, days: int, counter: Counter) -> Usage:
    """Requests of the last days, also those this process has counted and not written yet."""
    counter.flush()
    token = find(actor, token_id)
    today = now().astimezone(UTC).date()
    within = [TokenUsage.token_id == token.id, TokenUsage.day > today - timedelta(days=days)]
    figures = {day: (requests, errors) for day, requests, errors in _sums(within, TokenUsage.day).all()}
    total = sum(requests for requests, _ in figures.values())
    routes = _sums(within, TokenUsage.method, TokenUsage.route)
    return Usage(
        token.id, total, figures.get(today, (0, 0))[0], sum(errors for _, errors in figures.values()),
        token.last_used_at, token.last_ip, rules.by_day(figures, today, days),
        [
            {"method": method, "path": path, "requests": requests, "errors": errors}
            for method, path, requests, errors in routes.all()
        ],
    )  # fmt: skip


def _sums(within: list[ColumnElement[bool]], *by: Any) -> Any:
    requests = func.sum(TokenUsage.requests)
    rows = select(*by, requests, func.sum(TokenUsage.errors)).where(*within).group_by(*by)
    return db.session.execute(rows.order_by(requests.desc(), *by).limit(TOP if len(by) > 1 else 366))
