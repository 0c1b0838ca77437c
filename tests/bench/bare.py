"""Runs the parts the platform is made of, bare."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from devflow.adapters.caddy.process import binary
from tests.bench.by_hand import answered, until
from tests.journeys.platform import ROOT, free_port


@contextmanager
def gunicorn(
    folder: Path,
    body: bytes,
    threads: int,
    kind: str = "application/json",
    target: str = "tests.bench.bare_app:app",
    environment: Mapping[str, str] | None = None,
) -> Iterator[tuple[int, int]]:
    """A Flask route that gives `body` (or another app), under the server the platform uses: (process id, port)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "body").write_bytes(body)
    port = free_port()
    serve = f"gunicorn {target} -k gthread --threads {threads} --bind 127.0.0.1:{port}"
    options = [*serve.split(), "--keep-alive", "130", "--no-control-socket"]
    with _running([sys.executable, "-m", *options], folder, BARE_KIND=kind, **(environment or {})) as pid:
        until(lambda: answered("127.0.0.1", port, "bare") is not None)
        yield pid, port


@contextmanager
def consumer(folder: Path) -> Iterator[int]:
    """Huey's own consumer with an empty queue."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "body").touch()
    command = [sys.executable, "-m", "huey.bin.huey_consumer", "tests.bench.bare_app.huey", "-w", "6"]
    with _running(command, folder) as pid:
        until(lambda: (folder / "bare.db").exists())
        yield pid


@contextmanager
def caddy(folder: Path) -> Iterator[int]:
    """Caddy that answers and does nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    (folder / "Caddyfile").write_text(f"{{\n admin off\n}}\nhttp://127.0.0.1:{port} {{\n respond 200\n}}\n")
    with _running([str(binary()), "run", "--config", str(folder / "Caddyfile")], folder) as pid:
        until(lambda: answered("127.0.0.1", port, f"127.0.0.1:{port}") is not None)
        yield pid


@contextmanager
def _running(command: list[str], folder: Path, **more: str) -> Iterator[int]:
    environment = os.environ | more | {"BARE_FOLDER": str(folder), "XDG_DATA_HOME": str(folder), "HOME": str(folder)}
    with (folder / "output").open("ab") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(10)


def idle(seconds: float) -> None:
    """This is what is measured: time in which nothing is asked for."""
    time.sleep(seconds)
