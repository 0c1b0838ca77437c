"""The worker's door to the audit: checks the chain when somebody asks for it."""

from __future__ import annotations

import logging

from devflow.core.access import SYSTEM
from devflow.core.jobs import Job, handles
from devflow.features.audit.service import chain

log = logging.getLogger(__name__)
VERIFY = "audit.verify"


@handles(VERIFY)
def verify(job: Job) -> None:
    """Walk the chain; the verdict is an entry, and a broken chain is in the log as well."""
    verdict = chain.verify(stopped=job.cancelled)
    if verdict.fault:
        log.error("The chain of the audit is broken: %s", verdict.fault.says)
    chain.note(SYSTEM, verdict, str(job.payload.get("asked_by", "")))
