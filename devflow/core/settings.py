"""All settings, read once from the environment (and `.env`) when the app is made.

`docs/configuration.md` and `.env.example` are generated from this class (`devflow settings`), so they cannot drift.
A secret may also be given as a file: `JWT_SECRET_FILE=/run/secrets/jwt`.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from devflow.core.errors import Invalid

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(value: Any) -> Any:
    """`7d`, `1h`, `30m`, `45s` or a number of seconds."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+)\s*([smhd])\s*", value)):
        return int(match[1]) * _UNITS[match[2]]
    return value


Seconds = Annotated[int, BeforeValidator(seconds)]


class Settings(BaseSettings):
    """Every variable DevFlow reads. Sizes carry their unit in the description."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True)

    # The platform
    environment: Literal["development", "test", "production"] = Field(
        "development",
        validation_alias=AliasChoices("DEVFLOW_ENV", "APP_ENV", "FLASK_ENV", "NODE_ENV", "environment"),
        description="`production` does not start without a JWT_SECRET of your own.",
    )
    data_dir: Path = Field(Path("var"), description="Folder of everything DevFlow keeps on disk.")
    host: str = Field("127.0.0.1", description="Address the web process listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port the web process listens on.")
    app_url: str = Field(
        "", description="Public address of DevFlow itself. Empty: `http://<base domain>:<edge http port>`."
    )
    web_threads: int = Field(16, ge=2, le=256, description="Request threads of one web process.")
    web_processes: int = Field(1, ge=1, le=64, description="Web processes (more than one needs REDIS_URL for limits).")

    # Storage
    database_url: str = Field("", description="SQLAlchemy URL. Empty: SQLite in the data folder.")
    redis_url: str = Field("", description="Redis for queue and limits. Empty: a SQLite queue, limits in memory.")

    # Secrets
    secret_key: SecretStr = Field(SecretStr(""), description="Signs cookies. Empty: made once and kept.")
    jwt_secret: SecretStr = Field(SecretStr(""), description="Signs access tokens. Empty: made once and kept.")
    refresh_token_secret: SecretStr = Field(SecretStr(""), description="Signs refresh tokens. Empty: made once, kept.")
    encryption_keys: SecretStr = Field(
        SecretStr(""),
        description="Keys for secrets at rest, newest first, separated by commas (Fernet). Empty: made once and kept.",
    )
    jwt_expires_in: Seconds = Field(3600, ge=60, description="Life of an access token: seconds, or `7d`, `1h`, `30m`.")
    refresh_token_expires_in: Seconds = Field(
        30 * 86400, ge=60, description="Life of a refresh token unless remembered."
    )
    session_expires_in: Seconds = Field(12 * 3600, ge=60, description="Life of a browser session unless remembered.")
    remember_expires_in: Seconds = Field(
        90 * 86400, ge=60, description="Life of a sign-in that shall be remembered: browser session or refresh token."
    )
    refresh_token_rotation: Literal["off", "on"] = Field(
        "off", description="Give a new refresh token at each use? Then a second use of an old one ends the session."
    )
    reauthenticate_after: Seconds = Field(
        3600, ge=30, description="After this long, dangerous acts ask for password or code once more."
    )
    token_max_days: int = Field(365, ge=1, description="Longest life of an API token, in days.")
    audit_key: SecretStr = Field(
        SecretStr(""),
        description="Seals the chain of the audit; earlier keys behind it, with commas. Empty: made once, kept.",
    )
    audit_retention_days: int = Field(
        0, ge=0, le=36_500, description="After so many days entries of the audit move to sealed files. 0: never."
    )
    sign_up: Literal["open", "invitation", "closed"] = Field(
        "open", description="Who may create an account after the first one."
    )

    # The edge
    base_domain: str = Field("localhost", description="Apps answer under `<project>.<base domain>`.")
    edge_http_port: int = Field(8080, ge=1, le=65535, description="Port of the edge for plain HTTP.")
    edge_https_port: int = Field(8443, ge=1, le=65535, description="Port of the edge for HTTPS.")
    edge_tls: Literal["off", "internal", "acme"] = Field(
        "off", description="Certificates: none, from a CA of the edge's own, or by ACME."
    )
    acme_directory: str = Field("", description="ACME directory URL. Empty: Let's Encrypt.")
    acme_email: str = Field("", description="Address given to the ACME server.")
    acme_ca_file: str = Field("", description="PEM file the ACME server's own certificate is checked with.")
    edge_external: bool = Field(False, description="The edge runs as a service of its own; do not start one.")
    edge_admin: str = Field("", description="Admin address of the edge. Empty: a socket in the data folder.")
    edge_upstream: str = Field("", description="How the edge reaches the web process. Empty: `127.0.0.1:<port>`.")

    # The engine
    docker_host: str = Field("", description="Docker engine. Empty: `/var/run/docker.sock`.")
    build_concurrency: int = Field(2, ge=1, le=32, description="Builds that run at once.")
    build_timeout: int = Field(
        600_000,
        ge=1000,
        description="Longest build, in milliseconds.",
        validation_alias=AliasChoices("BUILD_TIMEOUT", "build_timeout"),
    )
    build_memory: int = Field(2048, ge=128, description="Memory of one build, in MB.")
    build_cpus: float = Field(2.0, gt=0, description="CPU cores of one build.")
    max_build_size: int = Field(500, ge=1, description="Largest static output, in MB.")
    max_repository_size: int = Field(1024, ge=1, description="Largest checkout, in MB.")
    clone_timeout: Seconds = Field(300, ge=5, description="Longest clone.")
    min_free_disk: int = Field(1024, ge=0, description="Free disk below which no build starts, in MB.")
    app_memory: int = Field(512, ge=32, description="Memory of an app unless its project says otherwise, in MB.")
    app_cpus: float = Field(1.0, gt=0, description="CPU cores of an app unless its project says otherwise.")
    app_pids: int = Field(512, ge=16, description="Processes and threads of an app.")
    health_timeout: Seconds = Field(60, ge=1, description="How long a new version may take to answer.")
    watch_seconds: Seconds = Field(
        60, ge=0, description="A new version that crashes this soon after its release makes way for the one before it."
    )
    drain_timeout: Seconds = Field(10, ge=0, description="How long requests to the old version may take to finish.")
    stop_grace: Seconds = Field(10, ge=1, description="Seconds between SIGTERM and SIGKILL.")
    keep_images: int = Field(5, ge=1, description="Versions of a project kept for a return.")
    build_cache_size: int = Field(10_240, ge=0, description="Build cache kept, in MB.")
    allow_local_repositories: bool = Field(False, description="May a project be cloned from a path on this server?")
    allow_private_addresses: bool = Field(
        False, description="May the server fetch from private addresses for a user, and be redirected by git servers?"
    )

    # Limits
    deployments_per_hour: int = Field(10, ge=1, description="Deployments one user may start in an hour.")
    rate_limit_per_minute: int = Field(100, ge=1, description="API requests a minute for each user or address.")
    auth_limit_per_minute: int = Field(5, ge=1, description="Sign-in attempts a minute for each address.")
    token_limit_per_hour: int = Field(1000, ge=1, description="API requests an hour for each API token.")
    token_creations_per_minute: int = Field(10, ge=1, description="API tokens made or rotated a minute by one user.")
    sensitive_limit_per_minute: int = Field(
        5, ge=1, description="Deletions, role changes and the like a minute by one user."
    )
    max_body_size: int = Field(2, ge=1, description="Largest request body, in MB.")
    frontend_url: str = Field(
        "", description="Origin of a web page of your own: it may call the API (CORS), and links in mails lead there."
    )
    cors_origins: str = Field("", description="Further such origins, separated by commas.")
    trusted_proxies: int = Field(1, ge=0, description="Proxies before the web process (the edge is one).")

    # Sign-in by others, mail
    github_url: str = Field("https://github.com", description="GitHub, or your GitHub Enterprise server.")
    github_api_url: str = Field("https://api.github.com", description="Its API.")
    github_client_id: str = Field("", description="GitHub OAuth application.")
    github_client_secret: SecretStr = Field(SecretStr(""), description="Its secret.")
    github_callback_url: str = Field("", description="Its callback. Empty: made from APP_URL.")
    google_issuer: str = Field("https://accounts.google.com", description="Google's OpenID Connect issuer.")
    google_client_id: str = Field("", description="Google OAuth client.")
    google_client_secret: SecretStr = Field(SecretStr(""), description="Its secret.")
    google_callback_url: str = Field("", description="Its callback. Empty: made from APP_URL.")
    oidc_issuer: str = Field("", description="Any other OpenID Connect issuer, such as Keycloak or Authentik.")
    oidc_client_id: str = Field("", description="Its client.")
    oidc_client_secret: SecretStr = Field(SecretStr(""), description="Its secret.")
    oidc_name: str = Field("single sign-on", description='What its button says after "Continue with".')
    smtp_host: str = Field(
        "", description="Mail server. Empty: administrators find mails on the admin page and in the log."
    )
    smtp_port: int = Field(587, description="Its port.")
    smtp_tls: Literal["starttls", "tls", "off"] = Field("starttls", description="How the connection is encrypted.")
    smtp_from: str = Field("", description="Sender, such as `DevFlow <devflow@example.com>`. Empty: the user.")
    smtp_user: str = Field("", description="User at the mail server; empty for one that asks for none.")
    smtp_pass: SecretStr = Field(SecretStr(""), description="Its password.")

    # The queue
    lease: float = Field(10.0, gt=0, description="Seconds a worker holds a job without a sign of life.")

    @property
    def store_url(self) -> str:
        """The database in use; `postgres://` as hosting services write it is understood."""
        url = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", self.database_url)
        return url or f"sqlite:///{self.folder / 'devflow.db'}"

    @property
    def folder(self) -> Path:
        """The data folder, absolute."""
        return self.data_dir.expanduser().resolve()

    @property
    def public_url(self) -> str:
        """Where people find DevFlow, without a slash at the end."""
        return self.app_url.rstrip("/") or self.site_url(self.base_domain)

    @property
    def page_url(self) -> str:
        """Where links in mails lead: to a web page of one's own if there is one, else to DevFlow's."""
        return self.frontend_url.rstrip("/") or self.public_url

    @property
    def remembered_seconds(self) -> int:
        """How long a remembered sign-in holds; never less than any other."""
        return max(self.remember_expires_in, self.refresh_token_expires_in, self.session_expires_in)

    def allows_local(self, repository: str) -> bool:
        """May this path on the server be cloned? The sample that DevFlow brings always may."""
        return self.allow_local_repositories or repository == str(self.sample)

    @property
    def sample(self) -> Path:
        """The repository of the sample app (`devflow demo`)."""
        return self.folder / "demo" / "hello"

    def site_url(self, host: str) -> str:
        """The address of a host behind the edge, with the port where it is not the usual one."""
        scheme, port, usual = (
            ("http", self.edge_http_port, 80) if self.edge_tls == "off" else ("https", self.edge_https_port, 443)
        )
        return f"{scheme}://{host}" if port == usual else f"{scheme}://{host}:{port}"


_GENERATED = ("secret_key", "jwt_secret", "refresh_token_secret", "encryption_keys", "audit_key")


def load(overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings; make and keep missing secrets. Raises `Invalid` naming each bad variable."""
    values = dict(overrides or {}) | _from_files()
    try:
        settings = Settings(**values)
    except ValidationError as error:
        fields = {str(e["loc"][0]).upper(): [e["msg"]] for e in error.errors()}
        raise Invalid(f"These settings cannot be used: {', '.join(sorted(fields))}.", fields) from error
    missing = [name for name in _GENERATED if not getattr(settings, name).get_secret_value()]
    if settings.environment == "production" and "jwt_secret" in missing:
        raise Invalid(
            "JWT_SECRET is not set. In production DevFlow does not start without it.", {"JWT_SECRET": ["missing"]}
        )
    kept = {name: SecretStr(_kept_secret(settings.folder / "secrets" / name, name)) for name in missing}
    return settings.model_copy(update=kept)


def _from_files() -> dict[str, str]:
    return {
        name: Path(path).read_text(encoding="utf-8").strip()
        for name in Settings.model_fields
        if (path := os.environ.get(f"{name.upper()}_FILE"))
    }


def _kept_secret(path: Path, name: str) -> str:
    """A secret made once. Two processes starting together end up with the same one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = _fernet_key() if name == "encryption_keys" else secrets.token_urlsafe(48)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="ascii")
    try:
        os.link(draft, path)  # fails when it exists: the first one wins
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text(encoding="ascii").strip()


def _fernet_key() -> str:
    return secrets.token_urlsafe(32)[:43] + "="
