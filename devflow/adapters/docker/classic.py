"""The classic builder, for engines without BuildKit: one step after another, no secrets, no cache mounts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Literal

from docker.errors import APIError

from devflow.adapters.docker.build_call import BuildCall
from devflow.adapters.docker.connection import GONE, Connection, refusal
from devflow.adapters.docker.dockerfile import Recipe
from devflow.adapters.docker.failures import failure
from devflow.adapters.docker.follow import Follower
from devflow.adapters.docker.lines import Lines
from devflow.ports.engine import BuildEvent, BuildOutput, BuildSpec, BuildStep

PERIOD = 100_000
_STEP = re.compile(r"^Step (\d+)/(\d+) : (.*)$")
_CHATTER = re.compile(r"^ ---> |^Removing intermediate container |^Successfully (?:built|tagged) ")
_RED = re.compile(r"\x1b\[91m|\x1b\[0m")


def query(spec: BuildSpec, recipe: Recipe) -> dict[str, str]:
    """The parameters of `POST /build`; the classic builder obeys limits itself."""
    limits = spec.limits
    asked = {
        "t": spec.tag,
        "dockerfile": recipe.path,
        "target": spec.target or "",
        "buildargs": json.dumps(dict(spec.args)) if spec.args else "",
        "labels": json.dumps(dict(spec.labels)) if spec.labels else "",
        "nocache": "1" if spec.no_cache else "",
        "rm": "1",
        "forcerm": "1",  # or a failed step leaves its container behind
        "memory": str(limits.memory or ""),
        "memswap": str(limits.memory or ""),
        "cpuperiod": str(PERIOD) if limits.cpus else "",
        "cpuquota": str(int(limits.cpus * PERIOD)) if limits.cpus else "",
    }
    return {key: value for key, value in asked.items() if value}


class Transcript:
    """Turns the classic builder's text into events."""

    def __init__(self) -> None:
        self.step = ""
        self._cached = self._announced = False
        self._lines: dict[Literal["stdout", "stderr"], Lines] = {"stdout": Lines(fold=True), "stderr": Lines(fold=True)}

    def feed(self, text: str) -> Iterator[BuildEvent]:
        stream: Literal["stdout", "stderr"] = "stderr" if text.startswith("\x1b[91m") else "stdout"
        if stream == "stdout" and (match := _STEP.match(text.rstrip("\n"))):
            yield from self.end("done")
            self.step, self._cached, self._announced = f"[{match[1]}/{match[2]}] {match[3]}", False, False
            return
        if stream == "stdout" and text.startswith(" ---> Using cache"):
            self._cached = True
            return
        if stream == "stdout" and _CHATTER.match(text):
            if text.startswith(" ---> Running in"):
                yield from self._announce()
            return
        if text.strip("\n") or self._announced:
            yield from self._announce()
            for line in self._lines[stream].feed(_RED.sub("", text).encode(errors="replace")):
                yield BuildOutput(self.step, stream, line)

    def end(self, state: Literal["done", "failed"], error: str = "") -> Iterator[BuildEvent]:
        """The step under way is over."""
        if not self.step:
            return
        for stream, lines in self._lines.items():
            for line in lines.flush():
                yield BuildOutput(self.step, stream, line)
        if self._cached and state == "done":
            yield BuildStep(self.step, "cached")
        else:
            yield from self._announce()
            yield BuildStep(self.step, state, error)
        self.step = ""

    def _announce(self) -> Iterator[BuildEvent]:
        if self.step and not self._announced:
            self._announced = True
            yield BuildStep(self.step, "started")


class Classic:
    """Builds on one engine. Hanging up is how a build is cancelled: its step ends and its container goes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def build(
        self, spec: BuildSpec, recipe: Recipe, on_event: Callable[[BuildEvent], None], look: Callable[[], None]
    ) -> str:
        """Returns the image's id. Raises what `look` raises, `StepFailed` and `Unavailable`."""
        call = BuildCall(self._connection, spec, recipe, query(spec, recipe))
        transcript, image = Transcript(), ""
        try:
            with closing(Follower(call.messages, call.close).items(look, self._connection.answers)) as messages:
                for message in messages:
                    if "error" in message:
                        raise _failed(message, transcript, on_event)
                    image = (message.get("aux") or {}).get("ID", image)
                    for event in transcript.feed(message.get("stream", "")):
                        on_event(event)
        except APIError as error:
            raise failure(str(error.explanation)) if error.status_code == 400 else refusal(error) from error
        except GONE as error:
            raise self._connection.unavailable() from error
        if not image:
            raise self._connection.unavailable()
        for event in transcript.end("done"):
            on_event(event)
        return image


def _failed(message: dict[str, Any], transcript: Transcript, on_event: Callable[[BuildEvent], None]) -> Exception:
    step, text = transcript.step, str(message["error"])
    for event in transcript.end("failed", text):
        on_event(event)
    return failure(text, step, (message.get("errorDetail") or {}).get("code"))
