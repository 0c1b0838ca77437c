"""Projects and their variables."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from devflow.core.db import HasId, HasUpdates, Model


class Project(HasId, HasUpdates, Model):
    """A repository plus how to build and run it. Empty commands mean: as detected."""

    __tablename__ = "projects"

    @property
    def project_id(self) -> str:
        return self.id

    team_id: Mapped[str] = mapped_column(ForeignKey("teams.id", ondelete="CASCADE"))
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    name: Mapped[str] = mapped_column(String(255))
    slug: Mapped[str] = mapped_column(String(63), unique=True)
    status: Mapped[str] = mapped_column(String(20), default="active")
    repository: Mapped[str] = mapped_column(String(1000))
    branch: Mapped[str] = mapped_column(String(255), default="main")
    access: Mapped[str] = mapped_column(String(10), default="public")
    sealed_credential: Mapped[str | None] = mapped_column(Text)
    deploy_key: Mapped[str | None] = mapped_column(Text)
    framework: Mapped[str] = mapped_column(String(40), default="")
    php_version: Mapped[str | None] = mapped_column(String(10))
    root_directory: Mapped[str] = mapped_column(String(255), default="")
    install_command: Mapped[str] = mapped_column(Text, default="")
    build_command: Mapped[str] = mapped_column(Text, default="")
    start_command: Mapped[str] = mapped_column(Text, default="")
    output_dir: Mapped[str] = mapped_column(String(255), default="")
    dockerfile: Mapped[str] = mapped_column(String(255), default="")
    docker_compose_path: Mapped[str] = mapped_column(String(255), default="docker-compose.yml")
    port: Mapped[int | None]
    health_path: Mapped[str] = mapped_column(String(255), default="/")
    health_timeout: Mapped[int | None]
    memory_mb: Mapped[int | None]
    cpus: Mapped[float | None]
    auto_deploy: Mapped[bool] = mapped_column(default=False)
    github_repo_id: Mapped[str | None] = mapped_column(String(255))
    server_id: Mapped[str | None] = mapped_column(String(36))

    __table_args__ = (Index("ix_projects_team_id_name", "team_id", "name"),)

    @property
    def repository_url(self) -> str:
        return self.repository


class Variable(HasId, HasUpdates, Model):
    """An environment variable, encrypted; it never leaves the server again."""

    __tablename__ = "env_vars"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(255))
    sealed: Mapped[str] = mapped_column(Text)
    updated_by: Mapped[str | None] = mapped_column(String(36))

    __table_args__ = (UniqueConstraint("project_id", "name"),)
