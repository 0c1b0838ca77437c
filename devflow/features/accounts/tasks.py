"""The worker's door to accounts: what takes a look nobody may time."""

from __future__ import annotations

from dataclasses import asdict

from devflow.core import jobs
from devflow.core.events import on
from devflow.core.jobs import Job, Jobs
from devflow.features.accounts.events import PasswordForgotten
from devflow.features.accounts.service import passwords
from devflow.web.ports import port

SEND_LINK = "accounts.send_reset_link"


@on(PasswordForgotten)
def forgotten(fact: PasswordForgotten) -> None:
    port(Jobs).submit(SEND_LINK, fact.asked, once=f"{SEND_LINK}:{fact.asked}", **asdict(fact))


@jobs.handles(SEND_LINK)
def send_link(job: Job) -> None:
    fact = PasswordForgotten(**job.payload)
    passwords.send_link(passwords.asked_by(fact), fact.email)
