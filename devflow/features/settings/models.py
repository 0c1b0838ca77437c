"""Settings that live in the database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from devflow.core.db import HasId, HasUpdates, Model


class PlatformSetting(HasId, HasUpdates, Model):
    """One changed setting; what is absent has the value of the environment."""

    __tablename__ = "platform_settings"

    name: Mapped[str] = mapped_column(String(80), unique=True)
    value: Mapped[Any] = mapped_column(JSON)
