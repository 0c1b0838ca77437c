"""What somebody has filled in so far."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from devflow.core.db import HasId, HasUpdates, Model


class Draft(HasId, HasUpdates, Model):
    """A project that is not one yet; sealed, because it holds credentials and variables."""

    __tablename__ = "project_drafts"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    slug: Mapped[str] = mapped_column(String(63), default="")
    sealed: Mapped[str] = mapped_column(Text)
