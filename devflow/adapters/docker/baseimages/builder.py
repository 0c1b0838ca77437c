"""Making one image: a root from the distribution's packages, or a Dockerfile on top of it."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from devflow.adapters.docker.baseimages import render
from devflow.adapters.docker.baseimages.catalogue import Recipe
from devflow.adapters.docker.baseimages.host import Host
from devflow.adapters.docker.baseimages.streams import StreamingClient, follow
from devflow.core.errors import StepFailed

_KEPT_LINES = 15
_KILL_AFTER = 5.0
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Builder:
    """`connect` makes a client of its own for each build, so that one can be cut off alone."""

    def __init__(self, connect: Callable[[], StreamingClient], host: Host) -> None:
        self._connect = connect
        self._host = host

    def build(
        self,
        recipe: Recipe,
        labels: Mapping[str, str],
        on_line: Callable[[str], None],
        cancelled: Callable[[], bool],
        refresh: bool,
    ) -> None:
        """Build and tag it under its reference; the tag moves only when the whole image is there."""
        if recipe.suite:
            self._bootstrap(recipe, labels, on_line, cancelled)
        else:
            self._dockerfile(recipe, labels, on_line, cancelled, refresh)

    def _bootstrap(
        self,
        recipe: Recipe,
        labels: Mapping[str, str],
        on_line: Callable[[str], None],
        cancelled: Callable[[], bool],
    ) -> None:
        with _scratch_folder() as folder:
            output = folder / "root.tar"
            certificates = _write_certificates(folder / "ca", self._host.certificates)
            command = render.bootstrap_command(recipe, self._host.mirrors, certificates, output)
            self._run(command, folder, on_line, cancelled)
            changes = render.import_changes(self._host, labels)
            client = self._connect()
            answer = client.import_image(src=str(output), repository=recipe.repository, tag=recipe.tag, changes=changes)
        if '"error"' in str(answer):
            raise _failed(recipe.reference, [str(answer)])

    def _run(
        self, command: list[str], folder: Path, on_line: Callable[[str], None], cancelled: Callable[[], bool]
    ) -> None:
        """Run to the end in a process group of its own, which dies as a whole on cancel."""
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "TMPDIR": str(folder)}
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                errors="replace", start_new_session=True, env=environment,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise StepFailed(
                f"{command[0]} is not installed, so base images cannot be built here.",
                cause="image_not_found",
                hint=f"Install it (apt-get install {command[0]}), or give this server access to a registry.",
            ) from error
        lines: list[str] = []
        try:
            follow(lambda: _lines(process), _keeping(lines, on_line), lambda: _kill(process), cancelled)
        finally:
            _kill(process)
        if process.returncode:
            raise _failed(command[-1], lines)

    def _dockerfile(
        self,
        recipe: Recipe,
        labels: Mapping[str, str],
        on_line: Callable[[str], None],
        cancelled: Callable[[], bool],
        refresh: bool,
    ) -> None:
        client = self._connect()
        lines: list[str] = []
        keep = _keeping(lines, on_line)
        problem: list[str] = []

        def talk() -> Iterator[dict[str, Any]]:
            return client.build(
                fileobj=io.BytesIO(render.context(recipe)), custom_context=True, tag=recipe.reference, decode=True,
                rm=True, forcerm=True, nocache=refresh, labels=dict(labels),
                buildargs=render.build_arguments(recipe, self._host),
            )  # fmt: skip

        def hear(message: dict[str, Any]) -> None:
            problem.extend([message["error"]] if "error" in message else [])
            for line in _COLOUR.sub("", message.get("stream", "")).splitlines():
                if line.strip():
                    keep(line)

        follow(talk, hear, client.abort, cancelled)
        if problem:
            raise _failed(recipe.reference, [*lines, *problem])


@contextlib.contextmanager
def _scratch_folder() -> Iterator[Path]:
    """A folder that is gone afterwards, whatever a killed mmdebstrap left in it."""
    folder = Path(tempfile.mkdtemp(prefix="devflow-base-"))
    folder.chmod(0o755)  # mmdebstrap's download user has to pass
    try:
        yield folder
    finally:
        # Its mounts live in a namespace of their own; should one be seen here, deleting would reach the host's /dev.
        if str(folder) not in Path("/proc/self/mounts").read_text(encoding="utf-8"):
            shutil.rmtree(folder, ignore_errors=True)


def _write_certificates(folder: Path, certificates: tuple[str, ...]) -> Path | None:
    if not certificates:
        return None
    folder.mkdir(mode=0o755)
    for number, pem in enumerate(certificates):
        (folder / f"host-{number}.crt").write_text(f"{pem}\n", encoding="ascii")
    return folder


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    if process.stdout is not None:
        yield from process.stdout
    process.wait()


def _keeping(lines: list[str], on_line: Callable[[str], None]) -> Callable[[str], None]:
    def keep(line: str) -> None:
        lines.append(line.rstrip())
        del lines[:-_KEPT_LINES]
        on_line(line.rstrip())

    return keep


def _kill(process: subprocess.Popen[str]) -> None:
    """TERM first: mmdebstrap then removes its own folder."""
    for sign, patience in ((signal.SIGTERM, _KILL_AFTER), (signal.SIGKILL, None)):
        if process.poll() is not None:
            return
        os.killpg(process.pid, sign)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue


def _failed(what: str, lines: list[str]) -> StepFailed:
    return StepFailed(
        f"The base image {what} could not be built: {lines[-1] if lines else 'no reason was given'}",
        cause="image_build_failed",
        hint="\n".join(lines),
    )
