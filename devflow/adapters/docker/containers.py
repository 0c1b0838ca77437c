"""Containers of one engine: make, start, stop, look at, remove."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from docker.errors import APIError, ImageNotFound
from docker.errors import NotFound as Missing

from devflow.adapters.docker import render
from devflow.adapters.docker.connection import GONE, Connection, refusal
from devflow.adapters.docker.follow import Follower, Guard
from devflow.adapters.docker.output import Output
from devflow.core.errors import Conflict, DomainError, NotFound, StepFailed, Unavailable
from devflow.ports.engine import MANAGED, Container, ContainerEvent, OnOutput, RunSpec, Usage

REMOVAL = 30.0
"""Seconds another removal of the same container may take."""
_EXEC = re.compile(r'exec: "(.+?)": (.+?)(?:: unknown)?$')


class Stopped(Exception):
    """Whoever listened wants no more."""


class Containers:
    """The containers of one engine."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, spec: RunSpec) -> str:
        """Returns the id. A managed container of that name makes room, any other raises `Conflict`."""
        api, config = self._connection.api, render.container_config(spec)
        for attempt in range(3):
            try:
                return str(api.create_container_from_config(config, spec.name)["Id"])
            except ImageNotFound as error:
                raise _no_image(spec.image) from error
            except APIError as error:
                if error.status_code == 409 and attempt < 2:
                    self.remove(spec.name)
                    continue
                raise _start_failed(spec, error) if error.status_code == 400 else refusal(error) from error
        raise AssertionError("unreachable")

    def run(self, spec: RunSpec, on_output: OnOutput | None) -> Container:
        container = self.create(spec)
        output = Output(self._connection, container) if on_output else None
        try:
            if output:
                output.open()
            self._start(spec, container)
            inspected = self._connection.api.inspect_container(container)
        except BaseException:
            self._drop(container)
            raise
        if output and on_output:
            output.begin(on_output, inspected["State"]["StartedAt"])
        return render.container(inspected)

    def run_to_end(self, spec: RunSpec, on_output: OnOutput, cancelled: Callable[[], bool]) -> int:
        guard = Guard(cancelled, spec.limits.seconds, "timeout", "The command")
        guard.check()
        container = self.create(replace(spec, restart=False))  # or its end would never come
        output = Output(self._connection, container)
        try:
            output.open()
            self._start(spec, container)
            follower = Follower(output.attached, output.close)
            with closing(follower.items(guard.check, self._connection.answers)) as lines:
                for stream, text in lines:
                    on_output(stream, text)
            return self._result(spec, container, guard)
        finally:
            self._drop(container)

    def _result(self, spec: RunSpec, container: str, guard: Guard) -> int:
        """A process may close its output and go on, so the end is waited for."""
        while True:
            state = self._connection.api.inspect_container(container)["State"]
            if state["Status"] not in ("running", "restarting", "paused"):
                break
            guard.check()
            time.sleep(0.05)
        if state["OOMKilled"] and state["ExitCode"] == 137:
            raise StepFailed(
                f"{_command(spec)} was killed: it used more memory than it may.",
                cause="out_of_memory",
                hint="Give it more memory, or make it use less.",
            )
        return int(state["ExitCode"])

    def _start(self, spec: RunSpec, container: str) -> None:
        try:
            self._connection.api.start(container)
        except APIError as error:
            raise _start_failed(spec, error) from error

    def _drop(self, container: str) -> None:
        """Clean up, without hiding the error that is on its way."""
        try:
            self.remove(container)
        except (DomainError, *GONE):
            pass

    def start(self, container: str) -> Container:
        try:
            self._connection.api.start(container)
        except Missing as error:
            raise NotFound(f"The container {container} is gone.") from error
        found = self.find(container)
        if found is None:
            raise NotFound(f"The container {container} is gone.")
        return found

    def stop(self, container: str, grace: float) -> None:
        try:
            self._connection.api.stop(container, timeout=math.ceil(grace))
        except Missing:
            return

    def remove(self, container: str) -> None:
        api = self._connection.api
        deadline = time.monotonic() + REMOVAL
        while True:
            try:
                inspected = api.inspect_container(container)
                if MANAGED not in (inspected["Config"].get("Labels") or {}):
                    name = inspected["Name"].lstrip("/")
                    raise Conflict(f"The container {name} was not made by DevFlow, so it is left alone.")
                api.remove_container(inspected["Id"], force=True, v=True)
                return
            except Missing:
                return
            except APIError as error:
                busy = "removal" in str(error.explanation) and "in progress" in str(error.explanation)
                if not busy or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def find(self, container: str) -> Container | None:
        try:
            return render.container(self._connection.api.inspect_container(container))
        except Missing:
            return None

    def list(self, labels: Mapping[str, str]) -> Iterator[Container]:
        filters = {"label": render.label_filter(labels)} if labels else None
        for row in self._connection.api.containers(all=True, filters=filters):
            if (found := self.find(row["Id"])) is not None:
                yield found

    def output(self, container: str, lines: int) -> tuple[str, ...]:
        if lines < 1:
            return ()
        try:
            data = self._connection.api.logs(container, stdout=True, stderr=True, tail=lines)
        except Missing:
            return ()
        text = data.decode(errors="replace")
        return tuple(line.rstrip("\r") for line in text.removesuffix("\n").split("\n")[-lines:]) if text else ()

    def usage(self, container: str) -> Usage | None:
        try:
            return render.usage(self._connection.api.stats(container, stream=False, one_shot=True))
        except Missing:
            return None

    def listening(self, container: str) -> tuple[tuple[str, int], ...]:
        try:
            inspected = self._connection.api.inspect_container(container)
        except Missing:
            return ()
        if not inspected["State"]["Pid"]:
            return ()
        tables = _tables(inspected["Id"], inspected["State"]["Pid"]) if self._connection.local else None
        return render.listening(tables if tables is not None else (self._ask(inspected["Id"]),))

    def _ask(self, container: str) -> str:
        """Where the engine's /proc is not ours (another machine, or we live in a container): look from inside."""
        api = self._connection.api
        try:
            made = api.exec_create(container, ["cat", "/proc/net/tcp", "/proc/net/tcp6"], stderr=False)
            return bytes(api.exec_start(made["Id"])).decode("ascii", errors="replace")
        except APIError:
            return ""  # it has no cat, or ended meanwhile

    def events(self, stop: Callable[[], bool]) -> Iterator[ContainerEvent]:
        api = self._connection.stream()
        filters = {"type": ["container"], "label": [MANAGED], "event": ["start", "die", "oom", "destroy"]}
        with self._connection.translated():
            stream = api.events(filters=filters, decode=True)

        def look() -> None:
            if stop():
                raise Stopped

        try:
            with closing(Follower(lambda: stream, stream.close).items(look, self._connection.answers)) as messages:
                for message in messages:
                    if (event := render.event(message)) is not None:
                        yield event
        except (Stopped, *GONE):
            return


def _tables(container: str, pid: int) -> list[str] | None:
    """The process's socket tables, if /proc/<pid> here is really that container's process."""
    proc = Path("/proc") / str(pid)
    try:
        if container not in (proc / "cgroup").read_text(encoding="ascii", errors="replace"):
            return None
        files = [proc / "net" / name for name in ("tcp", "tcp6")]
        return [file.read_text(encoding="ascii") for file in files if file.exists()]
    except OSError:
        return None


def _command(spec: RunSpec) -> str:
    return f"`{' '.join(spec.command)}`" if spec.command else f"The command of {spec.image}"


def _no_image(image: str) -> StepFailed:
    return StepFailed(
        f"The image {image} is not on this engine.",
        cause="image_not_found",
        hint="Deploy again to build it anew.",
    )


def _start_failed(spec: RunSpec, error: APIError) -> StepFailed | Unavailable:
    why = str(error.explanation or error).strip().rstrip(".")
    if match := _EXEC.search(why):
        why = f"{match[1]}: {match[2]}"
    return StepFailed(
        f"{spec.name} could not be started: {why}.",
        cause="start_failed",
        hint="Check the start command, and that the program is in the image.",
    )
