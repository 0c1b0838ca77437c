"""People and their sessions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from devflow.core.clock import now
from devflow.core.db import HasId, HasUpdates, Model

PERSON, SERVICE = "person", "service"


class User(HasId, HasUpdates, Model):
    """A person, or (`kind` service) a service account of a team, which `description` says the use of and which never
    signs in. `role` is the role on the whole platform."""

    __tablename__ = "users"

    kind: Mapped[str] = mapped_column(String(10), default=PERSON)
    description: Mapped[str] = mapped_column(Text, default="")
    name: Mapped[str] = mapped_column(String(255))
    email: Mapped[str] = mapped_column(String(255), unique=True)
    username: Mapped[str] = mapped_column(String(64), unique=True)
    password_hash: Mapped[str | None] = mapped_column(String(255))
    avatar_url: Mapped[str | None] = mapped_column(Text)
    github_id: Mapped[str | None] = mapped_column(String(255), unique=True)
    google_id: Mapped[str | None] = mapped_column(String(255), unique=True)
    oidc_id: Mapped[str | None] = mapped_column(String(255), unique=True)
    email_verified: Mapped[bool] = mapped_column(default=False)
    role: Mapped[str] = mapped_column(String(20), default="user")
    is_active: Mapped[bool] = mapped_column(default=True)
    subscription_plan: Mapped[str] = mapped_column(String(20), default="free")
    last_login: Mapped[datetime | None]

    @property
    def is_service(self) -> bool:
        return self.kind == SERVICE

    @property
    def full_name(self) -> str:
        return self.name

    @property
    def is_verified(self) -> bool:
        return self.email_verified

    @property
    def user_id(self) -> str:
        return self.id

    @property
    def github_connected(self) -> bool:
        return self.github_id is not None


# Nobody may pass for somebody else by writing their name with capitals; sign-in looks names up by it too.
Index("ix_users_username_lower", func.lower(User.username), unique=True)


class LoginSession(HasId, Model):
    """One sign-in, by browser or by API. Its end makes every token of it worthless.

    `token` is the digest of the token id that its refresh token carries; with rotation it changes, and a refresh
    token with an earlier one ends the session. `proved_at` is when the person last showed password or code.
    """

    __tablename__ = "sessions"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    token: Mapped[str] = mapped_column(String(255), unique=True)
    expires_at: Mapped[datetime]
    proved_at: Mapped[datetime] = mapped_column(default=now)
    ip: Mapped[str] = mapped_column(String(64), default="")
    agent: Mapped[str] = mapped_column(String(300), default="")


class Preferences(HasId, HasUpdates, Model):
    """How somebody likes it."""

    __tablename__ = "user_preferences"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), unique=True)
    theme: Mapped[str] = mapped_column(String(20), default="system")
    email_ticket_assigned: Mapped[bool] = mapped_column(default=True)
    email_sla_breach: Mapped[bool] = mapped_column(default=True)
    in_app_comments: Mapped[bool] = mapped_column(default=True)
    email_notifications: Mapped[bool] = mapped_column(default=True)
    deployment_success_notifications: Mapped[bool] = mapped_column(default=True)
    deployment_failure_notifications: Mapped[bool] = mapped_column(default=True)


class EmailToken(HasId, Model):
    """A link that was mailed, for `purpose` verify_email or reset_password: single use, by keyed hash."""

    __tablename__ = "email_tokens"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    purpose: Mapped[str] = mapped_column(String(20))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    email: Mapped[str] = mapped_column(String(255))
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class SecondFactor(HasId, Model):
    """An authenticator app (TOTP), counting once it is confirmed; `last_step` keeps a code from working twice."""

    __tablename__ = "second_factors"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), unique=True)
    secret: Mapped[str] = mapped_column(Text)  # sealed
    confirmed_at: Mapped[datetime | None]
    last_step: Mapped[int] = mapped_column(default=0)


class RecoveryCode(HasId, Model):
    """One of the codes for the day the authenticator is lost; works once."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    used_at: Mapped[datetime | None]


class GithubConnection(HasId, Model):
    """The GitHub account somebody signed in with or connected; its tokens are sealed."""

    __tablename__ = "github_connections"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), unique=True)
    github_username: Mapped[str] = mapped_column(String(255))
    github_access_token: Mapped[str] = mapped_column(Text)
    github_refresh_token: Mapped[str | None] = mapped_column(Text)
    token_expires_at: Mapped[datetime | None]
    connected_at: Mapped[datetime] = mapped_column(default=now)
    scopes: Mapped[str] = mapped_column(String(255), default="")
