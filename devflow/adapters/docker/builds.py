"""Which builder builds, within which limits, and what happens when the first way is closed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal

from devflow.adapters.docker.buildkit import BuilderMissing, BuildKit, FrontendMissing
from devflow.adapters.docker.cgroups import BuildLimits, Hold
from devflow.adapters.docker.classic import Classic
from devflow.adapters.docker.connection import Connection
from devflow.adapters.docker.dockerfile import Recipe, recipe
from devflow.adapters.docker.follow import Guard
from devflow.core.errors import StepFailed
from devflow.ports.engine import BuildEvent, BuildOutput, BuildSpec

OFFLINE = 300.0
"""Seconds for which a frontend that could not be fetched is not asked for again."""

OnEvent = Callable[[BuildEvent], None]
Choice = Literal["auto", "buildkit", "classic"]


class Builder:
    """Builds on one engine with the best builder it has (`choice` forces one)."""

    def __init__(self, connection: Connection, choice: Choice = "auto") -> None:
        self._connection = connection
        self._choice = choice
        self._buildkit, self._classic = BuildKit(connection), Classic(connection)
        self._lock = threading.Lock()
        self._limits: BuildLimits | None = None
        self._offline_until = 0.0

    def kind(self) -> Literal["buildkit", "classic"]:
        """BuildKit is in every Linux engine since API 1.39 (Docker 18.09)."""
        if self._choice != "auto":
            return self._choice
        version = self._connection.api.api_version
        recent = tuple(int(part) for part in version.split(".")) >= (1, 39)
        with self._connection.translated():
            linux = self._connection.api.version().get("Os") == "linux"
        return "buildkit" if recent and linux else "classic"

    def build(self, spec: BuildSpec, on_event: OnEvent, cancelled: Callable[[], bool]) -> str:
        """Returns the image's id; see `Engine.build` for the errors."""
        try:
            return self._build(spec, on_event, cancelled)
        except StepFailed as error:
            if error.cause == "build_failed" and not self._connection.answers():
                raise self._connection.unavailable() from error  # an engine that stops ends the steps it runs
            raise

    def _build(self, spec: BuildSpec, on_event: OnEvent, cancelled: Callable[[], bool]) -> str:
        guard = Guard(cancelled, spec.limits.seconds, "build_timeout", "The build")
        guard.check()
        found = recipe(spec)
        if self.kind() == "classic":
            return self._classic.build(spec, found, on_event, guard.check)
        with self._build_limits().hold(spec.limits) as hold:
            _say(on_event, hold.note)
            try:
                return self._with_buildkit(spec, found, on_event, _look(guard, hold, on_event))
            except BuilderMissing:
                if self._choice == "buildkit":
                    raise self._connection.unavailable() from None
        _say(on_event, "This engine has no BuildKit; the classic builder is used, without secrets and cache mounts.")
        return self._classic.build(spec, found, on_event, guard.check)

    def _with_buildkit(self, spec: BuildSpec, found: Recipe, on_event: OnEvent, look: Callable[[], None]) -> str:
        if found.syntax and time.monotonic() < self._offline_until:
            return self._without_frontend(spec, found, on_event, look)
        try:
            return self._buildkit.build(spec, found, on_event, look)
        except FrontendMissing:
            self._offline_until = time.monotonic() + OFFLINE
            return self._without_frontend(spec, found, on_event, look)

    def _without_frontend(self, spec: BuildSpec, found: Recipe, on_event: OnEvent, look: Callable[[], None]) -> str:
        _say(
            on_event,
            f"{found.syntax} cannot be fetched; the engine's own Dockerfile syntax is used instead.",
        )
        return self._buildkit.build(spec, found.without_syntax(), on_event, look)

    def _build_limits(self) -> BuildLimits:
        with self._lock:
            if self._limits is None:
                with self._connection.translated():
                    info = self._connection.api.info()
                self._limits = BuildLimits(
                    info.get("CgroupDriver", ""), str(info.get("CgroupVersion", "1")), self._connection.local
                )
            return self._limits


def _look(guard: Guard, hold: Hold, on_event: OnEvent) -> Callable[[], None]:
    def look() -> None:
        guard.check()
        _say(on_event, hold.look())

    return look


def _say(on_event: OnEvent, note: str) -> None:
    if note:
        on_event(BuildOutput("", "stderr", note))
