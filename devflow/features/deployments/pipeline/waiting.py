"""Wait for an answer without holding up a cancel."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import TypeVar

from devflow.core.errors import Cancelled

T = TypeVar("T")
GLANCE = 0.1
"""Seconds between two looks at whether the work is to end."""


def ahead(call: Callable[[], T]) -> Future[T]:
    """Begin now what will be needed later; its answer, or its error, comes when it is asked for."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True, name="question").start()
    return future


def unless_cancelled(call: Callable[[], T], cancelled: Callable[[], bool]) -> T:
    """What `call` returns or raises; `Cancelled` as soon as that is wanted. The call then ends by its own timeout."""
    return when_there(ahead(call), cancelled)


def when_there(future: Future[T], cancelled: Callable[[], bool]) -> T:
    """The answer of what was begun before, or `Cancelled` as soon as that is wanted."""
    while True:
        if cancelled():
            raise Cancelled("This deployment is to end.")
        try:
            return future.result(GLANCE)
        except NotYet:
            if future.done():
                raise
