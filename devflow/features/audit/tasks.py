"""The worker's door to the audit: checks the chain, and lets old entries leave for sealed files."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from devflow.core.access import SYSTEM
from devflow.core.clock import now
from devflow.core.jobs import Job, Jobs, handles
from devflow.core.settings import Settings
from devflow.features.audit.service import archiving, keeping
from devflow.web.ports import port

log = logging.getLogger(__name__)
VERIFY = "audit.verify"
ARCHIVE = "audit.archive"


def plan() -> None:
    """Call this every hour: what is new is checked, all of it once a night, and what is too old leaves once a day."""
    work, hour = port(Jobs), now()
    if not work.open_subjects(VERIFY):
        work.submit(VERIFY, "audit", once=f"{VERIFY}:{hour:%Y-%m-%dT%H}", whole=keeping.due(), gently=True)
    if port(Settings).audit_retention_days and not work.open_subjects(ARCHIVE):
        work.submit(ARCHIVE, "audit", once=f"{ARCHIVE}:{hour:%Y-%m-%d}")


def folder_of(settings: Settings) -> Path:
    """Where the sealed files are."""
    return settings.folder / "audit"


@handles(VERIFY)
def verify(job: Job) -> None:
    """Walk the chain, at most half of the time where nobody waits; a broken chain is in the log as well."""
    asked_by, whole = str(job.payload.get("asked_by", "")), bool(job.payload.get("whole", True))
    rest = time.sleep if job.payload.get("gently") else None
    verdict = keeping.look(folder_of(port(Settings)), whole=whole, stopped=job.cancelled, rest=rest)
    if verdict.fault:
        log.error("The chain of the audit is broken: %s", verdict.fault.says)
    keeping.remember(SYSTEM, verdict, whole=whole, asked_by=asked_by)


@handles(ARCHIVE)
def archive(job: Job) -> None:
    settings = port(Settings)
    left = archiving.archive(folder_of(settings), settings.audit_retention_days, job.cancelled)
    if left:
        log.info("%d old entries of the audit left the database for sealed files", left)
