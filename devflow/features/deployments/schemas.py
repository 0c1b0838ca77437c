"""What comes in and goes out about deployments."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from devflow.core.paging import ListQuery
from devflow.core.schema import Input, Moment, Output
from devflow.features.projects.schemas import Branch, Command, Folder, RepositoryUrl, Variables


class DeployIn(Input):
    """Deploy an existing project."""

    branch: Branch | None = None
    commit_hash: str | None = Field(None, pattern=r"^[0-9a-fA-F]{7,40}$")
    force: bool = False
    clear_cache: bool = False
    run_migrations: bool = False
    notify_on_completion: bool = False


class DeploymentIn(DeployIn):
    """Deploy a repository; its project is found or made."""

    repository: RepositoryUrl = Field("", max_length=1000)
    project_id: str | None = None
    build_command: Command | None = None
    output_dir: Folder | None = None
    env_vars: Variables = Field(default_factory=dict)
    team_id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _other_names(cls, data: Any) -> Any:
        if isinstance(data, dict) and "repository_url" in data and "repository" not in data:
            data = {**data, "repository": data["repository_url"]}
        return data

    @model_validator(mode="after")
    def _named(self) -> DeploymentIn:
        if not self.repository and not self.project_id:
            raise ValueError("Say which repository (or project_id) to deploy.")
        return self


class CancelIn(Input):
    reason: str = Field("", max_length=500)


class RedeployIn(Input):
    clear_cache: bool = False
    force: bool = False


class RollbackIn(Input):
    target_deployment_id: str = Field(max_length=64)
    force: bool = False


def sane(value: datetime | None) -> datetime | None:
    """A date that every database can compare; raises ValueError."""
    if value is not None and not 1970 < value.year < 9999:  # in UTC it may be a year off
        raise ValueError("A date from 1971 to 9998.")
    return value


class DeploymentQuery(ListQuery):
    default_limit: ClassVar[int] = 10

    search: str = Field("", max_length=200)
    status: Literal[
        "all", "active", "running", "completed", "pending", "queued", "building", "deploying", "success", "failed",
        "cancelled",
    ] = "all"  # fmt: skip
    project_id: str = Field("", max_length=64)
    branch: str = Field("", max_length=255)
    from_date: datetime | None = None
    to_date: datetime | None = None

    @model_validator(mode="before")
    @classmethod
    def _same_dates(cls, data: Any) -> Any:
        if isinstance(data, dict):
            pairs = {"start_date": "from_date", "since": "from_date", "end_date": "to_date", "until": "to_date"}
            data = {pairs.get(name, name): value for name, value in data.items()}
        return data

    @field_validator("from_date", "to_date")
    @classmethod
    def _of_our_time(cls, value: datetime | None) -> datetime | None:
        return sane(value)


class ProjectDeploymentQuery(DeploymentQuery):
    default_limit: ClassVar[int] = 20


class LogQuery(Input):
    level: Literal["", "debug", "info", "success", "warning", "error", "command"] = ""
    search: str = Field("", max_length=200)
    since: datetime | None = Field(None, description="Lines written at this time or later.")
    after: int = Field(0, ge=0, le=1_000_000_000_000, description="Number of the last line seen; wins over page.")
    page: int = Field(1, ge=1, le=1_000_000_000)
    limit: int = Field(100, ge=1, description="At most 1000.")

    @field_validator("limit")
    @classmethod
    def _capped(cls, value: int) -> int:
        return min(value, 1000)

    @field_validator("since")
    @classmethod
    def _of_our_time(cls, value: datetime | None) -> datetime | None:
        return sane(value)


class EarlierQuery(Input):
    before: int = Field(ge=1, le=1_000_000_000_000)


class RecentQuery(Input):
    limit: int = Field(5, ge=1, le=50)


class PersonOut(Output):
    id: str | None
    name: str


class StageOut(Output):
    name: str
    status: str
    timestamp: Moment | None
    started_at: Moment | None
    completed_at: Moment | None
    error_message: str | None


class LogLineOut(Output):
    id: int
    timestamp: Moment
    level: str
    message: str
    line: str
    stage: str
    stream: str


class DeploymentOut(Output):
    id: str
    deployment_id: str
    project_id: str
    number: int
    repo: str
    repository_url: str
    branch: str
    target: str
    status: str
    state: str
    live: bool
    progress: int
    current_step: str
    commit: str | None
    commit_hash: str | None
    commit_message: str | None
    author: str | None
    triggered_by: str
    deployed_by: PersonOut
    framework: str
    url: str | None
    duration: str | None
    duration_seconds: float | None
    timestamp: Moment
    started_at: Moment | None
    completed_at: Moment | None
    deployed_at: Moment | None
    cancelled_at: Moment | None
    created_at: Moment
    error_message: str | None
    error_cause: str | None
    error_hint: str | None
    redeploy_of_id: str | None
    rollback_of_id: str | None
    clear_cache: bool


class QueuedOut(DeploymentOut):
    queue_position: int
    estimated_time: int | None


class DeploymentDetailOut(QueuedOut):
    stages: list[StageOut]
    logs: list[LogLineOut]
    log_lines: list[str]


class VersionOut(Output):
    deployment_id: str
    commit_hash: str | None
    deployed_at: Moment | None


class RollbackOut(Output):
    rollback_deployment_id: str
    status: str
    target_version: VersionOut
    backup_created: bool = False
    backup_path: str | None = None


class LogsOut(Output):
    logs: list[LogLineOut]
    log_lines: list[str]
    total_lines: int
    has_more: bool
    next_after: int
