"""People and their sessions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from devflow.core.db import HasId, HasUpdates, Model


class User(HasId, HasUpdates, Model):
    """A person. `role` is the role on the whole platform."""

    __tablename__ = "users"

    name: Mapped[str] = mapped_column(String(255))
    email: Mapped[str] = mapped_column(String(255), unique=True)
    username: Mapped[str] = mapped_column(String(64), unique=True)
    password_hash: Mapped[str | None] = mapped_column(String(255))
    avatar_url: Mapped[str | None] = mapped_column(Text)
    github_id: Mapped[str | None] = mapped_column(String(255), unique=True)
    google_id: Mapped[str | None] = mapped_column(String(255), unique=True)
    email_verified: Mapped[bool] = mapped_column(default=False)
    role: Mapped[str] = mapped_column(String(20), default="user")
    is_active: Mapped[bool] = mapped_column(default=True)
    subscription_plan: Mapped[str] = mapped_column(String(20), default="free")
    last_login: Mapped[datetime | None]

    @property
    def full_name(self) -> str:
        return self.name

    @property
    def is_verified(self) -> bool:
        return self.email_verified

    @property
    def user_id(self) -> str:
        return self.id


class LoginSession(HasId, Model):
    """One sign-in, by browser or by API. Its end makes every token of it worthless."""

    __tablename__ = "sessions"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    token: Mapped[str] = mapped_column(String(255), unique=True)
    expires_at: Mapped[datetime]
    last_seen_at: Mapped[datetime | None]
    ip: Mapped[str] = mapped_column(String(64), default="")
    agent: Mapped[str] = mapped_column(String(300), default="")


class Preferences(HasId, HasUpdates, Model):
    """How somebody likes it."""

    __tablename__ = "user_preferences"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), unique=True)
    theme: Mapped[str] = mapped_column(String(20), default="system")
    email_notifications: Mapped[bool] = mapped_column(default=True)
    deployment_success_notifications: Mapped[bool] = mapped_column(default=True)
    deployment_failure_notifications: Mapped[bool] = mapped_column(default=True)
