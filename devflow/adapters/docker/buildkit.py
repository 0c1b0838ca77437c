"""BuildKit over the engine's own HTTP API: no command line tool, no plugin."""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from typing import Any

from docker.errors import APIError

from devflow.adapters.docker.build_call import BuildCall
from devflow.adapters.docker.connection import GONE, Connection, refusal
from devflow.adapters.docker.dockerfile import Recipe
from devflow.adapters.docker.failures import failure, says_full
from devflow.adapters.docker.follow import Follower
from devflow.adapters.docker.trace import Progress
from devflow.core.errors import Cancelled, StepFailed
from devflow.ports.engine import BuildEvent, BuildOutput, BuildSpec

FRONTEND_STEP = "resolve image config for "
"""How BuildKit calls the step that fetches the frontend of a `# syntax=` line."""


class BuilderMissing(Exception):
    """The engine does not build this way."""


class FrontendMissing(Exception):
    """The frontend a `# syntax=` line asks for cannot be fetched."""


def query(spec: BuildSpec, recipe: Recipe, build_id: str, session: str) -> dict[str, str]:
    """The parameters of `POST /build`."""
    asked = {
        "version": "2",
        "buildid": build_id,
        "session": session,
        "t": spec.tag,
        "dockerfile": recipe.path,
        "target": spec.target or "",
        "buildargs": json.dumps(dict(spec.args)) if spec.args else "",
        "labels": json.dumps(dict(spec.labels)) if spec.labels else "",
        "nocache": "1" if spec.no_cache else "",
    }
    return {key: value for key, value in asked.items() if value}


class BuildKit:
    """Builds on one engine."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def build(
        self, spec: BuildSpec, recipe: Recipe, on_event: Callable[[BuildEvent], None], look: Callable[[], None]
    ) -> str:
        """Returns the image's id. Raises what `look` raises (after the build was stopped), `StepFailed`,
        `Unavailable`, `BuilderMissing`, `FrontendMissing`."""
        build = _Build(self._connection, spec, recipe, on_event)
        with _secrets(self._connection, spec) as session:
            return build.run(session, look)


@contextmanager
def _secrets(connection: Connection, spec: BuildSpec) -> Iterator[str]:
    """The id of a session in which the engine can ask for the build's secrets; empty when there are none."""
    if not spec.secrets:
        yield ""
        return
    # By name: HTTP/2 is for the first build, and takes 4 MB of every process that has it.
    with import_module("devflow.adapters.docker.session").Session(connection, spec.secrets) as session:
        yield session.id


class _Build:
    def __init__(
        self, connection: Connection, spec: BuildSpec, recipe: Recipe, on_event: Callable[[BuildEvent], None]
    ) -> None:
        self._connection, self._spec, self._recipe, self._on_event = connection, spec, recipe, on_event
        self._id = f"{spec.id}-{uuid.uuid4().hex[:8]}"
        self._progress = Progress()
        self._full: set[str] = set()
        self.image = ""

    def run(self, session: str, look: Callable[[], None]) -> str:
        call = BuildCall(self._connection, self._spec, self._recipe, query(self._spec, self._recipe, self._id, session))
        try:
            with closing(Follower(call.messages, call.close).items(look, self._connection.answers)) as messages:
                for message in messages:
                    self._read(message)
        except (Cancelled, StepFailed):
            self._cancel()
            raise
        except APIError as error:
            raise self._refused(error) from error
        except GONE as error:
            raise self._connection.unavailable() from error
        finally:
            self._emit(self._progress.flush())
        if not self.image:
            raise self._connection.unavailable()
        return self.image

    def _read(self, message: dict[str, Any]) -> None:
        if message.get("id") == "moby.buildkit.trace":
            try:
                events = list(self._progress.feed(base64.b64decode(message["aux"])))
            except (ValueError, binascii.Error) as error:
                raise ConnectionError("a progress message cannot be read") from error
            self._emit(events)
        elif message.get("id") == "moby.image.id" or "ID" in (message.get("aux") or {}):
            self.image = message["aux"]["ID"]
        elif "error" in message:
            self._fail(message)

    def _emit(self, events: Iterable[BuildEvent]) -> None:
        for event in events:
            name = event.name if not isinstance(event, BuildOutput) else event.step
            if isinstance(event, BuildOutput) and says_full(event.text):
                self._full.add(name)
            if not (self._recipe.syntax and name.startswith(FRONTEND_STEP)):
                self._on_event(event)

    def _fail(self, message: dict[str, Any]) -> None:
        if self._recipe.syntax and self._progress.failed.startswith(FRONTEND_STEP):
            raise FrontendMissing(self._recipe.syntax)
        code = (message.get("errorDetail") or {}).get("code")
        step = self._progress.failed
        raise failure(str(message["error"]), step, code, full=step in self._full)

    def _refused(self, error: APIError) -> Exception:
        why = str(error.explanation or "")
        if error.status_code in (404, 501) or "version" in why or "buildkit" in why.lower():
            return BuilderMissing(why)
        if error.status_code == 400 or "ockerfile" in why:
            return failure(why)
        return refusal(error)

    def _cancel(self) -> None:
        """Stop the build on the engine, and only this one."""
        try:
            self._connection.api.ask("POST", "/build/cancel", params={"id": self._id}, timeout=5)
        except GONE:
            pass
