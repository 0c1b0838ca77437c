"""Letters."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from devflow.core.access import Permission
from devflow.core.db import HasId, Model


class Letter(HasId, Model):
    """A mail to one address.

    `state`: waiting, sent, kept (there is no mail server: an administrator sees it), failed, expired (it was not sent
    in time). `context` is what its template says, sealed; it may hold a secret link and is dropped once the letter is
    sent or has expired. `reader` is the permission that opens the link to an administrator.
    """

    __tablename__ = "letters"

    to: Mapped[str] = mapped_column("to_address", String(255))
    template: Mapped[str] = mapped_column(String(60))
    subject: Mapped[str] = mapped_column(String(200))
    context: Mapped[str] = mapped_column(Text, default="")
    state: Mapped[str] = mapped_column(String(10), default="waiting")
    error: Mapped[str] = mapped_column(Text, default="")
    reader: Mapped[str] = mapped_column(String(80), default=Permission.PLATFORM_MANAGE.value)
    expires_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]

    __table_args__ = (Index("ix_letters_state_id", "state", "id"),)
