"""What is to be done, as one frozen value that the pipeline carries out without a database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from devflow.core.crypto import digest
from devflow.core.settings import Settings
from devflow.features.deployments.rules.detect import Overrides
from devflow.features.deployments.rules.states import Step
from devflow.ports.edge import Site
from devflow.ports.engine import Limits
from devflow.ports.git import CheckoutLimits, Commit, Repository
from devflow.ports.logs import Level

PROJECT, DEPLOYMENT, ATTEMPT, ROLE = "devflow.project", "devflow.deployment", "devflow.attempt", "devflow.role"
"""Labels that say whose a container or an image is."""
INSTALLATION = "devflow.installation"
"""Several installations may share an engine; none may touch what another one made."""
MB = 1024 * 1024


@dataclass(frozen=True)
class Artifact:
    """What a build has made: an image to run, or a folder to serve. Kept with the deployment for a return."""

    kind: Literal["app", "static"]
    framework: str
    title: str
    image: str | None = None
    folder: str | None = None
    port: int = 0
    command: str = ""
    release_command: str = ""
    spa: bool = False
    gone: bool = False
    """Neither the image nor the folder is kept any more."""

    def stored(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Artifact:
        return cls(**stored)


@dataclass(frozen=True)
class Health:
    """When a new version counts as up: `path` answers below 500 within `timeout` seconds."""

    path: str
    timeout: float


@dataclass(frozen=True)
class Plan:
    """Everything a worker has to know to carry out one attempt of one deployment."""

    deployment_id: str
    number: int
    attempt: int
    project_id: str
    installation: str
    slug: str
    log_stream: str
    repository: Repository
    branch: str
    commit: str | None
    overrides: Overrides
    env: Mapping[str, str]
    reuse: Artifact | None
    host: str
    url: str
    health: Health
    build_limits: Limits
    app_limits: Limits
    checkout_limits: CheckoutLimits
    work: Path
    output: Path
    max_output: int
    min_free_disk: int
    stop_grace: float
    clear_cache: bool = False
    tls: bool = False

    @property
    def image(self) -> str:
        return f"devflow/{self.slug}-{self._mark}:{self.number}"

    @property
    def container(self) -> str:
        return f"devflow-{self.slug}-{self._mark}-{self.number}-{self.attempt}"

    @property
    def _mark(self) -> str:
        """Keeps the names of two projects apart that have the same slug, one after the other or side by side."""
        return self.project_id[-6:]

    @property
    def network(self) -> str:
        return f"devflow-{self.project_id}"

    @property
    def version(self) -> str:
        """What the edge calls this release."""
        return f"{self.number}-{self.attempt}-{self.deployment_id}"

    @property
    def owner_labels(self) -> dict[str, str]:
        return {INSTALLATION: self.installation, PROJECT: self.project_id}

    @property
    def labels(self) -> dict[str, str]:
        return {**self.owner_labels, DEPLOYMENT: self.deployment_id, ATTEMPT: str(self.attempt), ROLE: "app"}

    def site(self, artifact: Artifact) -> Site:
        return site(self.project_id, self.host, artifact.kind, tls=self.tls, spa=artifact.spa)

    def run_env(self, artifact: Artifact) -> dict[str, str]:
        """The environment of the app: the project's variables, and what DevFlow says about the release."""
        ours = {
            "PORT": str(artifact.port),
            "DEVFLOW_DEPLOYMENT": str(self.number),
            "DEVFLOW_COMMIT": self.commit or "",
            "DEVFLOW_URL": self.url,
        }
        return {**self.env, **{name: value for name, value in ours.items() if value}}


def site(key: str, host: str, kind: str, *, tls: bool, spa: bool, status: str = "active") -> Site:
    """What the edge has to know of a project; `status` is the project's own."""
    closed: Literal["", "inactive", "maintenance"] = (
        "inactive" if status == "inactive" else "maintenance" if status == "maintenance" else ""
    )
    return Site(key, (host,), "static" if kind == "static" else "app", tls, spa, closed)


def installation_of(settings: Settings) -> str:
    """What tells the things of this installation from those of another one on the same engine."""
    return digest("installation", settings.secret_key.get_secret_value())[:16]


def host_of(slug: str, settings: Settings) -> str:
    return f"{slug}.{settings.base_domain}"


def url_of(slug: str, settings: Settings) -> str:
    """The public address of a project's production target."""
    return settings.site_url(host_of(slug, settings))


def build_limits(settings: Settings) -> Limits:
    return Limits(settings.build_memory * MB, settings.build_cpus, None, settings.build_timeout / 1000)


def app_limits(settings: Settings, memory_mb: int | None, cpus: float | None) -> Limits:
    return Limits((memory_mb or settings.app_memory) * MB, cpus or settings.app_cpus, settings.app_pids)


@dataclass(frozen=True)
class Failure:
    """Why it did not work: a sentence, a stable word, what to do."""

    message: str
    cause: str
    hint: str = ""


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended."""

    status: Literal["success", "failed", "cancelled"]
    artifact: Artifact | None = None
    container: str | None = None
    failure: Failure | None = None


class Report(Protocol):
    """What the pipeline tells while it works. Every method raises `Cancelled` when the work is to end."""

    def started(self, step: Step, says: str | None = None) -> None: ...

    def finished(self, step: Step) -> None: ...

    def skipped(self, *steps: Step) -> None: ...

    def progress(self, percent: int, says: str) -> None: ...

    def found(self, commit: Commit) -> None: ...

    def built(self, artifact: Artifact) -> None: ...

    def log(self, message: str, *, level: Level = "info", stream: str = "system", step: str = "") -> None: ...

    def cancelled(self) -> bool: ...


HARMLESS = frozenset(
    {
        "true",
        "false",
        "yes",
        "none",
        "null",
        "production",
        "development",
        "staging",
        "test",
        "info",
        "debug",
        "localhost",
    }
)


def secrets_of(env: Mapping[str, str], repository: Repository) -> tuple[str, ...]:
    """The values to mask in logs: every variable but plain words and small numbers, and the git credential."""
    values = [
        value for value in env.values() if len(value) >= 4 and value.lower() not in HARMLESS and not _small(value)
    ]
    credentials = repository.credentials
    values += [secret for secret in (credentials.token, credentials.ssh_key) if secret]
    return tuple(values)


def _small(value: str) -> bool:
    return value.isdigit() and len(value) <= 5


@dataclass(frozen=True)
class Snapshot:
    """The settings of a project a deployment was made with; travels with it on a rollback."""

    overrides: Overrides = field(default_factory=Overrides)
    health_path: str = "/"
    health_timeout: int | None = None
    memory_mb: int | None = None
    cpus: float | None = None

    def stored(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Snapshot:
        known = {name: stored[name] for name in cls.__dataclass_fields__ if name in stored}
        return cls(**{**known, "overrides": Overrides(**stored.get("overrides", {}))})
