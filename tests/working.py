"""The worker's part, done by a test at the moment it chooses."""

from __future__ import annotations

from flask import Flask
from sqlalchemy import select

from devflow.core.db import db
from devflow.core.jobs import JobRow, Jobs
from devflow.web.ports import port


def work(app: Flask, kind: str) -> int:
    """Do the waiting jobs of a kind, as the worker would; returns how many."""
    with app.app_context():
        waiting = select(JobRow.id, JobRow.attempt).where(JobRow.kind == kind, JobRow.state == "queued")
        found = db.session.execute(waiting).all()
        for job_id, attempt in found:
            port(Jobs).run(job_id, attempt)
        return len(found)
