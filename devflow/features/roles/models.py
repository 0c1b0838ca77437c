"""Roles and to whom they are given."""

from __future__ import annotations

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from devflow.core.db import HasId, HasUpdates, Model


class Role(HasId, HasUpdates, Model):
    """A set of permissions under a name. The built-in roles are no rows: `core/access.py` has them."""

    __tablename__ = "roles"

    name: Mapped[str] = mapped_column(String(64), unique=True)
    description: Mapped[str] = mapped_column(String(500), default="")
    permissions: Mapped[list[str]] = mapped_column(JSON, default=list)


class Assignment(HasId, Model):
    """A role given to somebody (`effect` grant), or its permissions taken from them (remove), in one place.

    `scope` is global, team or project; `place` is the id of the team or project, or "" for the whole platform.
    """

    __tablename__ = "user_roles"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    role_id: Mapped[str] = mapped_column(ForeignKey("roles.id", ondelete="CASCADE"), index=True)
    scope: Mapped[str] = mapped_column(String(10), default="global")
    place: Mapped[str] = mapped_column(String(36), default="")
    team_id: Mapped[str | None] = mapped_column(ForeignKey("teams.id", ondelete="CASCADE"))
    project_id: Mapped[str | None] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    effect: Mapped[str] = mapped_column(String(10), default="grant")
    given_by_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))

    __table_args__ = (UniqueConstraint("user_id", "role_id", "place"), Index("ix_user_roles_place", "place"))


class Guest(HasId, Model):
    """A role given on one project to whoever owns an e-mail address, whether or not there is such an account.

    It counts for the account with this address once that address is verified. Kept by address and never turned into
    an assignment, so that the list of guests cannot tell who has an account.
    """

    __tablename__ = "guest_roles"

    email: Mapped[str] = mapped_column(String(255))
    role_id: Mapped[str] = mapped_column(ForeignKey("roles.id", ondelete="CASCADE"), index=True)
    team_id: Mapped[str] = mapped_column(ForeignKey("teams.id", ondelete="CASCADE"))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    given_by_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))

    __table_args__ = (
        UniqueConstraint("email", "role_id", "project_id"),
        Index("ix_guest_roles_project_id", "project_id"),
    )
