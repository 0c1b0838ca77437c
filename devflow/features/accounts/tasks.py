"""The worker's door to accounts: what takes a look nobody may time, and what waits for GitHub."""

from __future__ import annotations

from dataclasses import asdict

from devflow.core import jobs
from devflow.core.events import on
from devflow.core.jobs import Job, Jobs
from devflow.features.accounts.events import GithubLeft, PasswordForgotten
from devflow.features.accounts.service import passwords, returning
from devflow.ports.oauth import OAuth
from devflow.web.ports import port

SEND_LINK = "accounts.send_reset_link"
GIVE_BACK = "accounts.give_back_grant"
ATTEMPTS = 12
"""With growing pauses of an hour at most: as long as GitHub may be away on a bad morning (6.4 h)."""


@on(PasswordForgotten)
def forgotten(fact: PasswordForgotten) -> None:
    port(Jobs).submit(SEND_LINK, fact.asked, once=f"{SEND_LINK}:{fact.asked}", **asdict(fact))


@jobs.handles(SEND_LINK)
def send_link(job: Job) -> None:
    fact = PasswordForgotten(**job.payload)
    passwords.send_link(passwords.asked_by(fact), fact.email)


@on(GithubLeft)
def github_left(fact: GithubLeft) -> None:
    port(Jobs).submit(GIVE_BACK, fact.left, once=f"{GIVE_BACK}:{fact.left}", **asdict(fact))


@jobs.handles(GIVE_BACK, attempts=ATTEMPTS)
def give_back(job: Job) -> None:
    returning.give_back(port(OAuth), GithubLeft(**job.payload))
