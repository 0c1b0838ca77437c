"""Work for the worker, as rows: leased, fenced by attempt, cancellable, never lost.

`spike-web.md` part 3 has the reasoning: Huey alone loses a running task on kill -9 and on SIGTERM. A job is taken by
one compare-and-set on (id, attempt); a heartbeat renews the lease; a reaper gives a job whose lease has run out to the
next worker with attempt + 1, so every write of the old worker can be recognised and refused.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, CursorResult, Index, String, Text, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from devflow.core.clock import now
from devflow.core.db import HasId, Model, db, transaction
from devflow.core.errors import Cancelled, DomainError, Unavailable
from devflow.core.queue import QueueName, Queues

log = logging.getLogger(__name__)
MAX_ATTEMPTS = 3
RETRY_BASE = 4
"""The second attempt waits 4 s, the third 16: as long as an engine or a database takes to come back."""
RETRY_LONGEST = 3600
"""Seconds between two attempts at most, for kinds of work that may be tried more often."""
UNTAKEN = timedelta(seconds=10)
"""A queued job nobody took for so long gets a second message; a double one is harmless."""

KEPT = timedelta(days=30)
"""How long one can look up how a job ended."""


class JobRow(HasId, Model):
    """One piece of work. `state`: queued, running, done, failed, cancelled."""

    __tablename__ = "jobs"

    kind: Mapped[str] = mapped_column(String(80))
    queue: Mapped[str] = mapped_column(String(20))
    subject: Mapped[str] = mapped_column(String(80))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    state: Mapped[str] = mapped_column(String(12), default="queued")
    attempt: Mapped[int] = mapped_column(default=1)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    lease_until: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    run_after: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    worker: Mapped[str | None] = mapped_column(String(120))
    error: Mapped[str | None] = mapped_column(Text)
    unique_key: Mapped[str | None] = mapped_column(String(160), unique=True)

    __table_args__ = (
        Index("ix_jobs_state", "state", "queue", "run_after"),
        Index("ix_jobs_subject", "subject", "kind"),
    )


@dataclass
class Job:
    """A job in the hands of this worker."""

    id: str
    kind: str
    subject: str
    payload: dict[str, Any]
    attempt: int
    lost: bool = False
    stop: bool = False

    def cancelled(self) -> bool:
        """Should the work end now, because a person asked or because another worker has taken over?"""
        return self.stop or self.lost


Handler = Callable[[Job], None]
_handlers: dict[str, tuple[QueueName, Handler, Handler | None]] = {}
_attempts: dict[str, int] = {}


def handles(
    kind: str, queue: QueueName = "default", given_up: Handler | None = None, attempts: int = MAX_ATTEMPTS
) -> Callable[[Handler], Handler]:
    """Register the function that does jobs of a kind; `given_up` is told when its last attempt was lost."""

    def register(function: Handler) -> Handler:
        _handlers[kind] = (queue, function, given_up)
        _attempts[kind] = attempts
        return function

    return register


class Jobs:
    """Submits, runs, cancels and rescues jobs. One per process."""

    def __init__(self, queues: Queues, lease: float = 10.0) -> None:
        self.queues = queues
        self.lease = timedelta(seconds=lease)
        self._running: dict[tuple[str, int], Job] = {}  # by attempt: a lost one may still be at it here
        self._lock = threading.Lock()

    @property
    def worker(self) -> str:
        """Who we are, for people who read job rows."""
        return f"{socket.gethostname()}:{os.getpid()}"

    # Submitting

    def submit(self, kind: str, subject: str, *, once: str | None = None, delay: float = 0, **payload: Any) -> None:
        """Add a job and ring for it. With `once`, a second submission under the same key does nothing."""
        queue = _handlers[kind][0]
        row = JobRow(kind=kind, queue=queue, subject=subject, payload=payload, unique_key=once)
        row.sent_at = None if delay else now()
        row.run_after = now() + timedelta(seconds=delay)
        try:
            with transaction():
                db.session.add(row)
                db.session.flush()
                job_id = row.id
        except IntegrityError:
            return
        if not delay:
            self.queues.send(queue, job_id, 1)

    def cancel(self, subject: str, kind: str) -> None:
        """Stop the jobs of a subject: a waiting one never starts, a running one is told."""
        mine = (JobRow.subject == subject, JobRow.kind == kind)
        with transaction():
            db.session.execute(
                update(JobRow).where(*mine, JobRow.state == "queued").values(state="cancelled", finished_at=now())
            )
            db.session.execute(update(JobRow).where(*mine, JobRow.state == "running").values(cancel_requested=True))
        with self._lock:
            for job in self._running.values():
                if job.subject == subject and job.kind == kind:
                    job.stop = True

    # Running

    def run(self, job_id: str, attempt: int) -> None:
        """Take the job if it is still free, do it, and write down how it ended."""
        job = self._take(job_id, attempt)
        if job is None:
            return
        with self._lock:
            self._running[job.id, job.attempt] = job
        state, error, retry = "done", None, False
        try:
            _handlers[job.kind][1](job)
        except Cancelled:
            state = "cancelled"
        except Unavailable as fault:
            state, error, retry = "failed", fault.message, job.attempt < _attempts[job.kind]
        except DomainError as fault:
            state, error = "failed", fault.message
        except Exception as fault:
            log.exception("The job %s (%s) failed", job.kind, job.subject)
            state, error = "failed", f"{type(fault).__name__}: {fault}"
        finally:
            with self._lock:
                self._running.pop((job.id, job.attempt), None)
            db.session.remove()
        self._end(job, state, error, retry)

    def _take(self, job_id: str, attempt: int) -> Job | None:
        with transaction():
            row = db.session.get(JobRow, job_id)
            if row is None or row.kind not in _handlers:
                return None
            taken = db.session.execute(
                update(JobRow)
                .where(JobRow.id == job_id, JobRow.attempt == attempt, JobRow.state == "queued")
                .values(state="running", lease_until=now() + self.lease, started_at=now(), worker=self.worker)
            )
            if not _changed(taken):
                return None
            return Job(row.id, row.kind, row.subject, dict(row.payload), attempt)

    def _end(self, job: Job, state: str, error: str | None, retry: bool) -> None:
        values: dict[str, Any] = {"state": state, "error": error, "finished_at": now(), "lease_until": None}
        if retry and not job.stop:
            values = {
                "state": "queued", "error": error, "attempt": job.attempt + 1, "lease_until": None,
                "run_after": now() + timedelta(seconds=min(RETRY_BASE**job.attempt, RETRY_LONGEST)), "sent_at": None,
            }  # fmt: skip
        mine = (JobRow.id == job.id, JobRow.attempt == job.attempt, JobRow.state == "running")
        with transaction():
            db.session.execute(update(JobRow).where(*mine).values(values))
        db.session.remove()

    # Keeping alive

    def beat(self) -> None:
        """Renew the leases held here and learn who is to stop. Call every lease / 3, in an app context."""
        with self._lock:
            mine = list(self._running.values())
        for job in mine:
            held = (JobRow.id == job.id, JobRow.attempt == job.attempt, JobRow.state == "running")
            with transaction():
                renewed = db.session.execute(update(JobRow).where(*held).values(lease_until=now() + self.lease))
                job.lost = not _changed(renewed)

    def listen(self) -> None:
        """Learn of cancel requests made in other processes; cheap, call several times a second."""
        with self._lock:
            mine = [job for job in self._running.values() if not job.stop]
        if not mine:
            return
        asked = select(JobRow.id).where(JobRow.id.in_({job.id for job in mine}), JobRow.cancel_requested)
        told = frozenset(db.session.scalars(asked))
        db.session.rollback()
        for job in mine:
            job.stop = job.stop or job.id in told

    def open_subjects(self, kind: str) -> frozenset[str]:
        """What jobs of a kind are waiting for or working on."""
        waiting = select(JobRow.subject).where(JobRow.kind == kind, JobRow.state.in_(("queued", "running")))
        found = frozenset(db.session.scalars(waiting))
        db.session.rollback()
        return found

    def had(self, kind: str, subject: str) -> bool:
        """Was there ever a job of this kind for it?"""
        found = db.session.scalar(select(JobRow.id).where(JobRow.kind == kind, JobRow.subject == subject).limit(1))
        db.session.rollback()
        return found is not None

    def running(self) -> list[Job]:
        with self._lock:
            return list(self._running.values())

    # Rescuing

    def reap(self) -> int:
        """Give jobs of dead workers to the living, and ring again for jobs nobody took; returns how many."""
        moved = 0
        for row in self._expired():
            moved += self._rescue(row)
        for row in self._untaken():
            with transaction():
                row_id, queue, attempt = row.id, row.queue, row.attempt
                db.session.execute(update(JobRow).where(JobRow.id == row_id).values(sent_at=now()))
            self.queues.send(_queue(queue), row_id, attempt)
            moved += 1
        return moved

    def _expired(self) -> list[JobRow]:
        found = select(JobRow).where(JobRow.state == "running", JobRow.lease_until < now())
        rows = list(db.session.scalars(found))
        db.session.rollback()
        return rows

    def _untaken(self) -> list[JobRow]:
        late = (JobRow.sent_at.is_(None)) | (JobRow.sent_at < now() - UNTAKEN)
        found = select(JobRow).where(JobRow.state == "queued", JobRow.run_after <= now(), late).limit(100)
        rows = list(db.session.scalars(found))
        db.session.rollback()
        return rows

    def _rescue(self, row: JobRow) -> int:
        job = Job(row.id, row.kind, row.subject, dict(row.payload), row.attempt)
        held = (JobRow.id == job.id, JobRow.attempt == job.attempt, JobRow.state == "running")
        gone = row.attempt >= _attempts.get(row.kind, MAX_ATTEMPTS)
        cancelled = row.cancel_requested
        values: dict[str, Any] = {"attempt": job.attempt + 1, "lease_until": None, "sent_at": now()}
        if cancelled or gone:
            error = None if cancelled else "its workers died again and again"
            values |= {"state": "cancelled" if cancelled else "failed", "finished_at": now(), "error": error}
        else:
            values |= {"state": "queued", "error": "its worker died"}
        with transaction():
            moved = _changed(db.session.execute(update(JobRow).where(*held, JobRow.lease_until < now()).values(values)))
        if moved and (gone or cancelled):
            given_up = _handlers[job.kind][2] if job.kind in _handlers else None
            if given_up:
                job.stop = cancelled
                given_up(job)
        elif moved:
            self.queues.send(_queue(row.queue), job.id, job.attempt + 1)
        return moved

    def forget_old(self) -> int:
        """Drop jobs that ended long ago; returns how many."""
        with transaction():
            gone = db.session.execute(delete(JobRow).where(JobRow.finished_at < now() - KEPT))
        return _changed(gone)

    def release(self) -> None:
        """At a clean stop: hand running jobs back at once, so the next worker need not wait for the lease."""
        with self._lock:
            mine = list(self._running.values())
        for job in mine:
            job.lost = True
            held = (JobRow.id == job.id, JobRow.attempt == job.attempt, JobRow.state == "running")
            values = {"state": "queued", "attempt": job.attempt + 1, "lease_until": None, "sent_at": None}
            with transaction():
                db.session.execute(update(JobRow).where(*held).values(values))


def _queue(name: str) -> QueueName:
    return "build" if name == "build" else "default"


def _changed(result: Any) -> int:
    return result.rowcount if isinstance(result, CursorResult) else 0
