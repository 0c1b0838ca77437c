"""A blocking stream, read in a thread, so that the caller can look up: cancelled? too late? still there?"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Generic, TypeVar

from devflow.core.errors import Cancelled, StepFailed

T = TypeVar("T")

LOOK = 0.2
"""Seconds between two looks; a cancel is felt within one."""
SILENCE = 30.0
"""Seconds of silence after which the other side is asked whether it still lives."""


class Guard:
    """Says when to give up: a person cancelled, or the time is over. `check` raises `Cancelled` or `StepFailed`."""

    def __init__(self, cancelled: Callable[[], bool], seconds: float | None, cause: str, what: str) -> None:
        self._cancelled = cancelled
        self._seconds = seconds
        self._cause = cause
        self._what = what
        self._deadline = time.monotonic() + seconds if seconds is not None else float("inf")

    def check(self) -> None:
        if self._cancelled():
            raise Cancelled(f"{self._what} was cancelled.")
        if time.monotonic() >= self._deadline:
            raise StepFailed(
                f"{self._what} took longer than {self._seconds:g} s and was stopped.",
                cause=self._cause,
                hint="Make it faster, or raise the time limit.",
            )


class Follower(Generic[T]):
    """Reads `source` in a thread; `close` must wake that thread when nobody wants more."""

    def __init__(self, source: Callable[[], Iterator[T]], close: Callable[[], None]) -> None:
        self._source, self._close = source, close
        self._items: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(maxsize=2000)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._read, name="engine-stream", daemon=True)

    def items(self, look: Callable[[], None], alive: Callable[[], bool]) -> Generator[T, None, None]:
        """Everything the source gives. `look` runs every `LOOK` seconds and may raise to stop.

        Ends as the source ends, or with `ConnectionError` when it is silent and no longer `alive`.
        """
        self._thread.start()
        looked = heard = time.monotonic()
        try:
            while True:
                item, error, ended = self._next()
                now = time.monotonic()
                if now - looked >= LOOK:
                    look()
                    looked = now
                if item is not None:
                    heard = now
                    yield item
                elif error is not None:
                    raise error
                elif ended:
                    return
                elif now - heard > SILENCE:
                    if not alive():
                        raise ConnectionError("silent, and nobody answers")
                    heard = now
        finally:
            self._left.set()
            self._close()

    def _next(self) -> tuple[T | None, BaseException | None, bool]:
        try:
            item, error = self._items.get(timeout=LOOK)
        except queue.Empty:
            return None, None, False
        return item, error, item is None

    def _read(self) -> None:
        try:
            for item in self._source():
                if not self._put(item, None):
                    return
            self._put(None, None)
        except BaseException as error:  # carried over to the thread that waits, which raises it
            self._put(None, error)

    def _put(self, item: T | None, error: BaseException | None) -> bool:
        while not self._left.is_set():
            try:
                self._items.put((item, error), timeout=LOOK)
                return True
            except queue.Full:
                continue
        return False
