"""Teams and who belongs to them."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from devflow.core.db import HasId, HasUpdates, Model


class Team(HasId, HasUpdates, Model):
    """Owns projects. `personal_of` names the user whose own team it is."""

    __tablename__ = "teams"

    name: Mapped[str] = mapped_column(String(255))
    personal_of: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), unique=True)


class Member(HasId, Model):
    """Somebody's place in a team."""

    __tablename__ = "team_members"

    team_id: Mapped[str] = mapped_column(ForeignKey("teams.id", ondelete="CASCADE"))
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    role: Mapped[str] = mapped_column(String(20), default="member")

    __table_args__ = (UniqueConstraint("team_id", "user_id"),)
