"""The ledger."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from devflow.core.db import HasId, Model


class Entry(HasId, Model):
    """One act. `changes` maps a field to [before, after]; secrets say only "changed"."""

    __tablename__ = "audit_logs"

    actor_id: Mapped[str | None] = mapped_column(String(36))
    actor_name: Mapped[str] = mapped_column(String(255))
    team_id: Mapped[str | None] = mapped_column(String(36))
    action: Mapped[str] = mapped_column(String(80))
    object_type: Mapped[str] = mapped_column(String(40))
    object_id: Mapped[str] = mapped_column(String(80))
    object_name: Mapped[str] = mapped_column(String(255))
    changes: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    ip: Mapped[str] = mapped_column(String(64), default="")
    agent: Mapped[str] = mapped_column(String(300), default="")
    request_id: Mapped[str] = mapped_column(String(64), default="")

    __table_args__ = (Index("ix_audit_logs_team_id_id", "team_id", "id"), Index("ix_audit_logs_object_id", "object_id"))
