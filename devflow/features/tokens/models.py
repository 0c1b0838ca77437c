"""API tokens, their values and what they were used for."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from devflow.core.db import HasId, HasUpdates, Model


class ApiToken(HasId, HasUpdates, Model):
    """A named token of one person or service account. Its values are rows of their own, so that rotation can let two
    overlap."""

    __tablename__ = "api_tokens"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(120))
    token_prefix: Mapped[str] = mapped_column(String(16))
    last_four: Mapped[str] = mapped_column(String(4))
    scopes: Mapped[list[str]] = mapped_column(JSON, default=list)
    team_id: Mapped[str | None] = mapped_column(ForeignKey("teams.id", ondelete="CASCADE"))
    project_ids: Mapped[list[str]] = mapped_column(JSON, default=list)
    allowed_ips: Mapped[list[str]] = mapped_column(JSON, default=list)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    revoked_why: Mapped[str] = mapped_column(String(200), default="")
    rotated_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    last_ip: Mapped[str] = mapped_column(String(64), default="")
    last_agent: Mapped[str] = mapped_column(String(300), default="")
    last_route: Mapped[str] = mapped_column(String(200), default="")
    reminded_days: Mapped[int | None]

    @property
    def permissions(self) -> list[str]:
        """The other name of the scopes (conflicts.md C38)."""
        return self.scopes

    @property
    def shown(self) -> str:
        """What is left of the value for people to know it by."""
        return f"{self.token_prefix}…{self.last_four}"

    __table_args__ = (
        Index("ix_api_tokens_user_id_id", "user_id", "id"),
        Index("ix_api_tokens_expires_at", "expires_at"),
    )


class TokenValue(Model):
    """One value of a token by its keyed hash; `until` is None for the current one, else the end of its grace.

    `uses` counts the requests that still came with it after it had been replaced.
    """

    __tablename__ = "api_token_values"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    token_id: Mapped[str] = mapped_column(ForeignKey("api_tokens.id", ondelete="CASCADE"), index=True)
    until: Mapped[datetime | None]
    uses: Mapped[int] = mapped_column(default=0)
    last_used_at: Mapped[datetime | None]


class TokenUsage(Model):
    """How often a token asked one route on one day (UTC), and how often the answer was an error."""

    __tablename__ = "token_usage"

    token_id: Mapped[str] = mapped_column(ForeignKey("api_tokens.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    method: Mapped[str] = mapped_column(String(8), primary_key=True)
    route: Mapped[str] = mapped_column(String(200), primary_key=True)
    requests: Mapped[int] = mapped_column(default=0)
    errors: Mapped[int] = mapped_column(default=0)
