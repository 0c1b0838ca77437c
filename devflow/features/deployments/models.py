"""Deployments and the stages they go through."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from devflow.core.clock import now
from devflow.core.db import HasId, HasUpdates, Model


class Deployment(HasId, HasUpdates, Model):
    """One release of one project. `active_key` and `live_key` are unique while it works or serves.

    So the database itself refuses two active or two live deployments of one target.
    """

    __tablename__ = "deployments"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    team_id: Mapped[str] = mapped_column(String(36))
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    user_name: Mapped[str] = mapped_column(String(255), default="")
    number: Mapped[int]
    target: Mapped[str] = mapped_column(String(120), default="production")
    trigger: Mapped[str] = mapped_column(String(20), default="manual")
    status: Mapped[str] = mapped_column(String(50), default="queued")
    progress: Mapped[int] = mapped_column(default=0)
    current_step: Mapped[str] = mapped_column(String(255), default="Waiting for a free slot")
    attempt: Mapped[int] = mapped_column(default=0)
    version: Mapped[int] = mapped_column(default=0)
    repo: Mapped[str] = mapped_column(String(255))
    repository_url: Mapped[str] = mapped_column(String(1000))
    branch: Mapped[str] = mapped_column(String(255))
    commit_hash: Mapped[str | None] = mapped_column(String(40))
    commit_message: Mapped[str | None] = mapped_column(Text)
    author: Mapped[str | None] = mapped_column(String(255))
    framework: Mapped[str] = mapped_column(String(40), default="")
    kind: Mapped[str | None] = mapped_column(String(10))
    artifact: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    config: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    sealed_env: Mapped[str | None] = mapped_column(Text)
    clear_cache: Mapped[bool] = mapped_column(default=False)
    container: Mapped[str | None] = mapped_column(String(128))
    deployed_url: Mapped[str | None] = mapped_column(Text)
    error_message: Mapped[str | None] = mapped_column(Text)
    error_cause: Mapped[str | None] = mapped_column(String(40))
    error_hint: Mapped[str | None] = mapped_column(Text)
    redeploy_of_id: Mapped[str | None] = mapped_column(String(36))
    rollback_of_id: Mapped[str | None] = mapped_column(String(36))
    active_key: Mapped[str | None] = mapped_column(String(160), unique=True)
    live_key: Mapped[str | None] = mapped_column(String(160), unique=True)
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    live_at: Mapped[datetime | None]
    left_at: Mapped[datetime | None]
    build_duration: Mapped[int | None]

    __table_args__ = (
        Index("ix_deployments_team_id_id", "team_id", "id"),
        Index("ix_deployments_team_id_status_id", "team_id", "status", "id"),
        Index("ix_deployments_team_id_branch_id", "team_id", "branch", "id"),
        Index("ix_deployments_project_id_number", "project_id", "number", unique=True),
        Index("ix_deployments_project_id_status_number", "project_id", "status", "number"),
        Index("ix_deployments_status", "status"),
        Index("ix_deployments_user_id_created_at", "user_id", "created_at"),
    )

    @property
    def active(self) -> bool:
        return self.active_key is not None

    @property
    def live(self) -> bool:
        return self.live_key is not None

    @property
    def shown_status(self) -> str:
        """For people: `live` while it serves, `rolled_back` when a rollback left it behind."""
        if self.live:
            return "live"
        return "rolled_back" if self.status == "success" and self.config.get("rolled_back") else self.status

    @property
    def state(self) -> str:
        return "running" if self.status in ("building", "deploying") else self.status

    @property
    def commit(self) -> str | None:
        return self.commit_hash[:7] if self.commit_hash else None

    @property
    def duration_seconds(self) -> float | None:
        """Seconds from the start to the end, or until now while it works."""
        if self.started_at is None:
            return None
        return ((self.completed_at or now()) - self.started_at).total_seconds()

    @property
    def duration(self) -> str | None:
        seconds = self.duration_seconds
        if seconds is None:
            return None
        whole = round(seconds)
        return f"{whole // 60}m {whole % 60}s" if whole >= 60 else f"{whole}s"

    @property
    def url(self) -> str | None:
        return self.deployed_url

    @property
    def timestamp(self) -> datetime:
        return self.created_at

    @property
    def deployed_at(self) -> datetime | None:
        return self.live_at

    @property
    def deployment_id(self) -> str:
        return self.id

    @property
    def triggered_by(self) -> str:
        return self.trigger

    @property
    def deployed_by(self) -> dict[str, str | None]:
        return {"id": self.user_id, "name": self.user_name}

    @property
    def log_stream(self) -> str:
        return f"deployment/{self.project_id}/{self.id}"


class Numbering(Model):
    """The last number a project has given, so that none is given twice, deleted deployments included."""

    __tablename__ = "deployment_numbers"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    last: Mapped[int] = mapped_column(default=0)


class Stage(HasId, Model):
    """One step of a deployment; `stage_name` is the contract's coarse stage that `step` belongs to."""

    __tablename__ = "deployment_stages"

    deployment_id: Mapped[str] = mapped_column(ForeignKey("deployments.id", ondelete="CASCADE"))
    stage_name: Mapped[str] = mapped_column(String(50))
    step: Mapped[str] = mapped_column(String(20))
    position: Mapped[int]
    status: Mapped[str] = mapped_column(String(50), default="pending")
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    error_message: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (Index("ix_deployment_stages_deployment_id_step", "deployment_id", "step", unique=True),)

    @property
    def name(self) -> str:
        return self.step.capitalize()

    @property
    def seconds(self) -> float | None:
        if self.started_at is None:
            return None
        return ((self.completed_at or now()) - self.started_at).total_seconds()
