"""Teams and who belongs to them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from devflow.core.db import HasId, HasUpdates, Model


class Team(HasId, HasUpdates, Model):
    """Owns projects. `personal_of` names the user whose own team it is; `deleted_at` is set while its things go."""

    __tablename__ = "teams"

    name: Mapped[str] = mapped_column(String(255))
    slug: Mapped[str] = mapped_column(String(63), unique=True)
    personal_of: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), unique=True)
    deleted_at: Mapped[datetime | None]

    @property
    def team_id(self) -> str:
        return self.id

    @property
    def is_personal(self) -> bool:
        return self.personal_of is not None


class Member(HasId, HasUpdates, Model):
    """Somebody's place in a team, from the invitation on.

    `status`: pending (invited: `digest` is the keyed hash of the link, good until `expires_at`), active, removed.
    `email` is the address invited, then the member's own.
    """

    __tablename__ = "team_members"

    team_id: Mapped[str] = mapped_column(ForeignKey("teams.id", ondelete="CASCADE"))
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    email: Mapped[str] = mapped_column(String(255))
    name: Mapped[str] = mapped_column(String(255), default="")
    role: Mapped[str] = mapped_column(String(20), default="member")
    status: Mapped[str] = mapped_column(String(10), default="active")
    invited_by_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    invited_at: Mapped[datetime | None]
    joined_at: Mapped[datetime | None]
    removed_at: Mapped[datetime | None]
    digest: Mapped[str | None] = mapped_column(String(64), unique=True)
    expires_at: Mapped[datetime | None]
    message: Mapped[str] = mapped_column(Text, default="")

    __table_args__ = (
        UniqueConstraint("team_id", "user_id"),
        UniqueConstraint("team_id", "email"),
        Index("ix_team_members_user_id_status", "user_id", "status"),
    )
