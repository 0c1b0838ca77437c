"""Following something that talks (the engine, a subprocess) while someone may cancel at any moment."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import docker
import requests
from docker.errors import APIError, DockerException
from urllib3.exceptions import HTTPError

from devflow.core.errors import Cancelled, Unavailable

T = TypeVar("T")
_END = object()
_POLL = 0.2


class StreamingClient(docker.APIClient):
    """An engine client whose running answer can be cut off from another thread; the engine then stops the work."""

    _answer: Any = None

    def _stream_helper(self, response: Any, decode: bool = False) -> Any:
        # The SDK has no public way to end a stream from another thread.
        self._answer = self._get_raw_response_socket(response)  # type: ignore[attr-defined]
        return super()._stream_helper(response, decode)  # type: ignore[misc]

    def abort(self) -> None:
        raw = getattr(self._answer, "_sock", self._answer)
        with contextlib.suppress(OSError, AttributeError):
            raw.shutdown(socket.SHUT_RDWR)


def follow(
    talk: Callable[[], Iterable[T]],
    on_item: Callable[[T], None],
    abort: Callable[[], None],
    cancelled: Callable[[], bool],
    first_within: float | None = None,
) -> None:
    """Hand every item on until the talk ends. Raises what it raised, `Cancelled`, or `TimeoutError` when the first
    item took longer than `first_within` seconds."""
    items: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(talk, items), daemon=True).start()
    deadline = None if first_within is None else time.monotonic() + first_within
    while True:
        try:
            item = items.get(timeout=_POLL)
        except queue.Empty:
            if cancelled():
                abort()
                raise Cancelled("The preparation of the base image was cancelled.") from None
            if deadline is not None and time.monotonic() > deadline:
                abort()
                raise TimeoutError from None
            continue
        if item is _END:
            return
        if isinstance(item, BaseException):
            raise item
        deadline = None
        on_item(item)


def _listen(talk: Callable[[], Iterable[Any]], items: queue.SimpleQueue[Any]) -> None:
    try:
        for item in talk():
            items.put(item)
    except BaseException as error:
        items.put(error)
    else:
        items.put(_END)


@contextlib.contextmanager
def engine_errors() -> Iterator[None]:
    """The engine's own exceptions as ours."""
    try:
        yield
    except APIError as error:
        raise Unavailable(f"The Docker engine refused the work: {error.explanation or error}") from error
    except (DockerException, requests.RequestException, HTTPError) as error:
        raise Unavailable(
            "The Docker engine does not answer. Start it (systemctl start docker), then try again."
        ) from error
