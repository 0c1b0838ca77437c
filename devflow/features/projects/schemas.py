"""What comes in and goes out about projects: names, addresses, variables, settings."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from devflow.core.paging import ListQuery
from devflow.core.schema import Input, Moment, Output

RESERVED = frozenset(
    {"admin", "api", "assets", "dashboard", "devflow", "docs", "edge", "health", "mail", "status", "www"}
)
"""Names that are no project's: they look like the platform's own."""
SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ADDRESS = re.compile(r"(?:https?|ssh|file)://[^\s/]*/\S*|[./~].*|(?:[^\s@/:]+@)?[^\s@/:]+:[^\s:]\S*", re.IGNORECASE)
_SHORT = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}/[^\s/:@]+/[^\s:@]+", re.IGNORECASE)
_TOKEN = 20
"""So long is no name of a person in an address, but a token."""
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OURS = frozenset({"PORT"})
"""Variables DevFlow sets itself from the project's settings."""


def slug_from(name: str) -> str:
    """A host label made from a name: `My Café` -> `my-cafe`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].strip("-") or "app"


def is_slug(text: str) -> bool:
    return SLUG.fullmatch(text) is not None and text not in RESERVED


def short_name(repository: str) -> str:
    """`https://host/owner/app.git` -> `app`."""
    path = urlsplit(repository).path if "://" in repository else repository.rpartition(":")[2]
    return posixpath.basename(path.rstrip("/")).removesuffix(".git")[:100] or "app"


def address_problem(repository: str) -> str | None:
    """Why this cannot be kept as a repository's address; None when it can. Whether it answers is git's to say."""
    if not _ADDRESS.fullmatch(repository) or repository.startswith("-"):
        return "Use an address such as https://host/team/repository.git or git@host:team/repository.git."
    try:
        parts = urlsplit(repository) if "://" in repository else None
    except ValueError:
        return "This is not the address of a repository."
    if parts and (parts.password or (parts.scheme.lower() != "ssh" and len(parts.username or "") >= _TOKEN)):
        # Everybody in the team reads the address; it is in logs, audit and lists.
        return "Leave the password out of the address. Choose an access token and give it there: it is kept encrypted."
    return None


def with_scheme(repository: str) -> str:
    """`github.com/you/app`, as people copy it from a page, becomes https://github.com/you/app."""
    return f"https://{repository}" if _SHORT.fullmatch(repository) else repository


def server_of(repository: str) -> tuple[str, str]:
    """The scheme and server of a repository's address; two addresses on one server share a credential."""
    parts = urlsplit(repository) if "://" in repository else urlsplit(f"ssh://{repository.partition(':')[0]}")
    return parts.scheme.lower(), parts.netloc.rpartition("@")[2].lower()


def parse_variables(text: str) -> tuple[dict[str, str], list[str]]:
    """KEY=VALUE lines as a mapping, and what is wrong with the rest.

    Understands `export KEY=…`, comments, empty lines and quotes around a value (also over several lines).
    """
    found: dict[str, str] = {}
    wrong: list[str] = []
    lines = iter(enumerate(text.replace("\r\n", "\n").split("\n"), 1))
    for number, line in lines:
        stripped = line.strip().removeprefix("export ").strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not VARIABLE.fullmatch(name):
            wrong.append(f"Line {number} is not KEY=VALUE.")
            continue
        quote = value[:1]
        if quote in ('"', "'"):
            while not (len(value) > 1 and value.endswith(quote)):
                _, more = next(lines, (0, None))
                if more is None:
                    wrong.append(f"Line {number}: the quote is not closed.")
                    break
                value += "\n" + more
            value = value.strip(quote) if quote == "'" else value[1:-1].replace("\\n", "\n").replace('\\"', '"')
        found[name] = value
    return found, wrong


Access = Literal["public", "key", "token"]
SIZES: dict[str, tuple[float, int]] = {"small": (0.5, 256), "medium": (1.0, 512), "large": (2.0, 2048)}
"""Sizes by name: CPU cores and MB of memory."""


def _slug(value: str) -> str:
    if not is_slug(value):
        raise ValueError("Use lower-case letters, digits and hyphens, and no name of the platform itself.")
    return value


def _folder(value: str) -> str:
    path = posixpath.normpath(value.strip().strip("/") or ".")
    if path.startswith("..") or "\\" in path or "\n" in path:
        raise ValueError("Name a folder inside the repository.")
    return "" if path == "." else path


def _command(value: str) -> str:
    if "\n" in value or "\r" in value:
        raise ValueError("A command is one line.")
    return value


def _health(value: str) -> str:
    if not value.startswith("/") or any(ord(c) <= 32 for c in value):
        raise ValueError(f"Start the path with a slash: /{value.lstrip('/')}")
    return value


def _branch(value: str) -> str:
    if value.startswith("-") or ".." in value or any(ord(c) <= 32 or c in "~^:?*[\\" for c in value):
        raise ValueError("This is not a branch name.")
    return value


def variables_of(value: Any) -> Any:
    """Variables from KEY=VALUE lines or an object; raises ValueError saying what is wrong."""
    if isinstance(value, str):
        found, wrong = parse_variables(value)
        if wrong:
            raise ValueError(" ".join(wrong))
        value = found
    if not isinstance(value, dict):
        raise ValueError("Write KEY=VALUE lines, or an object.")
    for name, text in value.items():
        if not isinstance(name, str) or not VARIABLE.fullmatch(name) or len(name) > 255:
            raise ValueError(f"{name!r} cannot be the name of a variable.")
        if name in OURS:
            raise ValueError(f"{name} is set by DevFlow from the settings of the project.")
        if text is not None and len(str(text)) > 65_536:
            raise ValueError(f"The value of {name} is too long.")
        if text is not None and "\x00" in str(text):
            raise ValueError(f"The value of {name} holds a NUL byte.")
    return {name: None if text is None else str(text) for name, text in value.items()}


RepositoryUrl = Annotated[str, AfterValidator(with_scheme)]
PhpVersion = Annotated[str, Field(pattern=r"^\d{1,2}(\.\d{1,2}){0,2}$", max_length=10)]
Slug = Annotated[str, Field(max_length=63), AfterValidator(_slug)]
Folder = Annotated[str, Field(max_length=255), AfterValidator(_folder)]
Command = Annotated[str, Field(max_length=2000), AfterValidator(_command)]
HealthPath = Annotated[str, Field(max_length=255), AfterValidator(_health)]
Branch = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_branch)]
Variables = Annotated[dict[str, str | None], BeforeValidator(variables_of)]


class RepositoryIn(Input):
    """Where the code is and how to get at it."""

    repository_url: RepositoryUrl = Field(min_length=1, max_length=1000)
    access: Access = "public"
    token: str = Field("", max_length=4096)
    private_key: str = Field("", max_length=16_384)

    @model_validator(mode="before")
    @classmethod
    def _seed_names(cls, data: Any) -> Any:
        if isinstance(data, dict) and "repository_url" not in data and "repository" in data:
            return {**data, "repository_url": data["repository"]}
        return data


class BuildSettings(Input):
    """How to build and run; what is empty or absent is detected."""

    root_directory: Folder = ""
    framework: str = Field("", max_length=40)
    install_command: Command = ""
    build_command: Command = ""
    start_command: Command = ""
    output_dir: Folder = ""
    dockerfile: Folder = ""
    port: int | None = Field(None, ge=1, le=65_535)
    health_path: HealthPath = "/"
    health_timeout: int | None = Field(None, ge=1, le=3600)
    memory_mb: int | None = Field(None, ge=32, le=1_048_576)
    cpus: float | None = Field(None, gt=0, le=256)
    size: Literal["", "small", "medium", "large"] = ""

    @model_validator(mode="before")
    @classmethod
    def _other_names(cls, data: Any) -> Any:
        if isinstance(data, dict) and "output_directory" in data and "output_dir" not in data:
            return {**data, "output_dir": data["output_directory"]}
        return data

    @model_validator(mode="after")
    def _named_size(self) -> BuildSettings:
        if self.size and self.memory_mb is None and self.cpus is None:
            self.cpus, self.memory_mb = SIZES[self.size]
        return self


class ProjectIn(RepositoryIn, BuildSettings):
    name: str = Field("", max_length=255)
    slug: Slug | None = None
    branch: Branch | None = None
    php_version: PhpVersion | None = None
    auto_deploy: bool = False
    environment_variables: Variables = Field(default_factory=dict)
    team_id: str | None = Field(None, max_length=63)
    docker_compose_path: Folder = "docker-compose.yml"

    @model_validator(mode="before")
    @classmethod
    def _env_forms(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for other in ("env_vars", "envVars", "env"):
                if other in data and "environment_variables" not in data:
                    data = {**data, "environment_variables": data[other]}
        return data

    @field_validator("environment_variables")
    @classmethod
    def _no_nulls(cls, value: dict[str, str | None]) -> dict[str, str | None]:
        return {name: text for name, text in value.items() if text is not None}


class ProjectPatch(Input):
    """Only the fields sent are changed; a variable set to null is deleted."""

    name: str | None = Field(None, min_length=1, max_length=255)
    slug: Slug | None = None
    repository_url: RepositoryUrl | None = Field(None, min_length=1, max_length=1000)
    branch: Branch | None = None
    status: Literal["active", "inactive", "maintenance"] | None = None
    framework: str | None = Field(None, max_length=40)
    root_directory: Folder | None = None
    install_command: Command | None = None
    build_command: Command | None = None
    start_command: Command | None = None
    output_dir: Folder | None = None
    dockerfile: Folder | None = None
    docker_compose_path: Folder | None = None
    port: int | None = Field(None, ge=1, le=65_535)
    health_path: HealthPath | None = None
    health_timeout: int | None = Field(None, ge=1, le=3600)
    memory_mb: int | None = Field(None, ge=32, le=1_048_576)
    cpus: float | None = Field(None, gt=0, le=256)
    php_version: PhpVersion | None = None
    auto_deploy: bool | None = None
    token: str | None = Field(None, max_length=4096, description="A new token for a private repository.")
    environment_variables: Variables | None = None


class VariablesIn(Input):
    variables: Variables


class ProjectQuery(ListQuery):
    search: str = Field("", max_length=200)
    status: Literal["", "active", "inactive", "maintenance"] = ""
    framework: str = Field("", max_length=40)
    team_id: str | None = Field(None, max_length=63)
    sort: Literal["name", "created_at", "updated_at"] = "name"
    order: Literal["asc", "desc"] = "asc"


class VariableOut(Output):
    name: str
    updated_at: Moment


class DeleteQuery(Input):
    force: bool = False
    backup: bool = False


class ProjectListed(Output):
    """A project as lists show it."""

    id: str
    team_id: str
    user_id: str | None
    name: str
    slug: str
    status: str
    framework: str
    php_version: str | None
    repository: str
    repository_url: str
    branch: str
    root_directory: str
    install_command: str
    build_command: str
    start_command: str
    output_dir: str
    dockerfile: str
    docker_compose_path: str
    port: int | None
    health_path: str
    health_timeout: int | None
    memory_mb: int | None
    cpus: float | None
    auto_deploy: bool
    github_repo_id: str | None
    server_id: str | None
    created_at: Moment
    updated_at: Moment


class ProjectOut(ProjectListed):
    """A project with the names of its variables; values are never answered."""

    environment_variables: dict[str, str]
