"""The worker's door to the overview: what a deleted team owned goes."""

from __future__ import annotations

from devflow.core import jobs
from devflow.core.events import on
from devflow.core.jobs import Job, Jobs
from devflow.features.overview import service
from devflow.features.teams.events import TeamDeleted
from devflow.web.ports import port

CLEAR = "overview.clear_team"


@on(TeamDeleted)
def team_deleted(fact: TeamDeleted) -> None:
    port(Jobs).submit(CLEAR, fact.team_id, once=f"{CLEAR}:{fact.team_id}")


@jobs.handles(CLEAR)
def clear(job: Job) -> None:
    service.clear_team(job.subject)
