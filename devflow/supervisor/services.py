"""Which processes make up DevFlow, how each is started, and how one sees that it is ready."""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from devflow.core.settings import Settings
from devflow.core.settings_doc import variables, written

ROOT = Path(__file__).resolve().parents[2]
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
_WEB_GRACE = 6.0
_EDGE_GRACE = 3.0
"""Caddy would wait for the last open socket, however long; by then there is nobody left behind it."""
_KEEP_ALIVE = 130
"""Seconds; longer than the edge keeps idle connections, so that it never writes into one that is being closed."""


class Command(Protocol):
    """A program with its whole environment, e.g. `devflow.adapters.caddy.process.Command`."""

    @property
    def argv(self) -> tuple[str, ...]: ...

    @property
    def environment(self) -> dict[str, str]: ...


@dataclass(frozen=True)
class Service:
    """One process. It is stopped with SIGTERM and killed after `grace` seconds; the highest `level` stops last.

    `ready` says whether it answers; without it, it counts as ready once it runs. `ports` are (address, port, variable
    that sets it), checked before anything is started. `forked` ones (`python -m …` only) run in a copy of the
    supervisor, which has imported what they need: the memory is shared and the start is short.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    folder: Path = field(default_factory=Path.cwd)
    grace: float = 10.0
    level: int = 0
    ready: Callable[[], bool] | None = None
    ports: tuple[tuple[str, int, str], ...] = ()
    forked: bool = False


def environment(settings: Settings) -> dict[str, str]:
    """Our own, with what was decided when we were started, so that a child reads the very same settings.

    Secrets are left out: a child finds them where we did.
    """
    told = {"DATA_DIR": str(settings.folder)}
    for name in settings.model_fields_set - {"data_dir"}:
        value = getattr(settings, name)
        if not isinstance(value, SecretStr):
            told[variables(name, Settings.model_fields[name])[0]] = written(value)
    return {**os.environ, **told}


def services(settings: Settings, edge: Command | None) -> tuple[Service, ...]:
    """Web, worker and, unless it runs elsewhere (`edge` is None), the edge."""
    found = [_web(settings), _worker(settings)]
    if edge is not None:
        found.append(_edge(settings, edge))
    return tuple(found)


def answers(address: str, port: int, path: str, host: str, ok: Callable[[int], bool]) -> bool:
    """Does an HTTP server there answer with a status that is `ok`?"""
    connection = http.client.HTTPConnection(_reachable(address), port, timeout=2)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        answer.read()  # the edge would log an answer cut short as a failure
        return ok(answer.status)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _web(settings: Settings) -> Service:
    bind = f"[{settings.host}]" if ":" in settings.host else settings.host
    argv = [
        sys.executable,
        "-m",
        "gunicorn",
        "wsgi:app",
        "--pythonpath",
        str(ROOT),
        "--bind",
        f"{bind}:{settings.port}",
    ]
    argv += ["--worker-class", "gthread", "--threads", str(settings.web_threads)]
    argv += ["--workers", str(settings.web_processes), "--graceful-timeout", "5", "--keep-alive", str(_KEEP_ALIVE)]
    argv += ["--no-control-socket", "--log-level", "warning"]
    argv += ["--limit-request-line", "8190"]  # what comes back from a provider brings a code and our state
    if _SHARED_MEMORY.is_dir():
        argv += ["--worker-tmp-dir", str(_SHARED_MEMORY)]  # its heartbeat file must not wait for a busy disk
    return Service(
        "web",
        tuple(argv),
        environment(settings),
        grace=_WEB_GRACE,
        ready=lambda: answers(settings.host, settings.port, "/health/ready", "localhost", lambda s: s == 200),
        ports=((settings.host, settings.port, "PORT"),),
    )


def _worker(settings: Settings) -> Service:
    return Service(
        "worker", (sys.executable, "-m", "devflow.worker"), environment(settings), grace=float(settings.stop_grace)
    )


def _edge(settings: Settings, command: Command) -> Service:
    ports = [("0.0.0.0", settings.edge_http_port, "EDGE_HTTP_PORT")]  # noqa: S104 - the edge is there for everyone
    if settings.edge_tls != "off":
        ports.append(("0.0.0.0", settings.edge_https_port, "EDGE_HTTPS_PORT"))  # noqa: S104
    return Service(
        "edge",
        command.argv,
        command.environment,
        grace=_EDGE_GRACE,
        level=1,
        ready=lambda: answers(
            "127.0.0.1", settings.edge_http_port, "/health/live", settings.base_domain, lambda s: s < 500
        ),
        ports=tuple(ports),
    )


def _reachable(address: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104
