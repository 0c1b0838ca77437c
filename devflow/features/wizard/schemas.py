"""The forms of the wizard."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from devflow.core.schema import Input
from devflow.features.projects.schemas import (
    Access,
    Branch,
    Command,
    Folder,
    HealthPath,
    RepositoryUrl,
    Slug,
    variables_of,
)


def _env_text(value: str) -> str:
    variables_of(value)
    return value


class RepositoryForm(Input):
    repository_url: RepositoryUrl = Field(min_length=1, max_length=1000)
    access: Access = "public"
    token: str = Field("", max_length=4096)


class ConfigureForm(Input):
    name: Slug
    branch: Branch
    root_directory: Folder = ""
    framework: str = Field("", max_length=40)
    install_command: Command = ""
    build_command: Command = ""
    start_command: Command = ""
    output_directory: Folder = ""
    port: int | None = Field(None, ge=1, le=65_535)
    health_path: HealthPath = "/"
    env: Annotated[str, AfterValidator(_env_text)] = Field("", max_length=262_144)
    size: str = Field("medium", pattern="^(small|medium|large)$")


class LookForm(Input):
    """What decides anew what is detected."""

    branch: Branch
    root_directory: Folder = ""


class NameForm(Input):
    name: str = Field("", max_length=63)
