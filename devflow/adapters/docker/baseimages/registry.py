"""Pulling, where a registry can be reached. One that cannot is not asked again for ten minutes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docker.errors import APIError

from devflow.adapters.docker.baseimages.catalogue import registry
from devflow.adapters.docker.baseimages.streams import StreamingClient, follow

PATIENCE = 5.0
"""Seconds the registry may take for its first word."""
MEMORY = 600.0
"""Seconds a registry that did not answer is left alone."""
_THERE = re.compile(r"manifest unknown|not found|denied|unauthorized|no matching manifest|toomanyrequests", re.I)
_NOISE = ("Downloading", "Extracting", "Waiting", "Verifying Checksum", "Pulling fs layer")


class Registry:
    """The registries as the engine reaches them; failures are remembered in `folder` for all processes."""

    def __init__(self, connect: Callable[[], StreamingClient], folder: Path, patience: float = PATIENCE) -> None:
        self._connect = connect
        self._folder = folder
        self._patience = patience

    def reachable(self, reference: str) -> bool:
        """Does the registry of this reference answer at all?"""
        return self._answers(reference) is not None

    def pull(self, reference: str, on_line: Callable[[str], None], cancelled: Callable[[], bool]) -> bool:
        """Pull it; False when the registry cannot be reached or does not have it (said by `on_line`)."""
        if not (answer := self._answers(reference)):
            on_line(f"No registry answers for {reference}." if answer is None else f"No registry has {reference}.")
            return False
        client = self._connect()
        on_line(f"Pulling {reference} …")
        problem: list[str] = []
        try:
            follow(
                lambda: client.pull(reference, stream=True, decode=True),
                lambda message: _report(message, on_line, problem),
                client.abort,
                cancelled,
                first_within=self._patience,
            )
        except (APIError, TimeoutError) as error:
            problem.append(str(getattr(error, "explanation", "") or "the registry stopped answering"))
        if problem:
            on_line(f"Pulling {reference} failed: {problem[-1]}")
        return not problem

    def _answers(self, reference: str) -> bool | None:
        """True: it has the image; False: it answers but has not; None: it does not answer."""
        mark = self._folder / f"unreachable-{registry(reference).replace(':', '_').replace('/', '_') or 'default'}"
        if mark.exists() and 0 <= time.time() - mark.stat().st_mtime < MEMORY:
            return None
        client = self._connect()
        try:
            follow(
                lambda: [client.inspect_distribution(reference)],
                lambda _: None,
                client.abort,
                lambda: False,
                first_within=self._patience,
            )
        except APIError as error:
            if error.status_code in (401, 403, 404) or _THERE.search(str(error.explanation)):
                return False
        except TimeoutError:
            pass
        else:
            mark.unlink(missing_ok=True)
            return True
        self._folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
        return None


def _report(message: dict[str, Any], on_line: Callable[[str], None], problem: list[str]) -> None:
    if "error" in message:
        problem.append(str(message["error"]))
    elif (status := message.get("status", "")) and status not in _NOISE:
        on_line(f"{message['id']}: {status}" if message.get("id") else status)
