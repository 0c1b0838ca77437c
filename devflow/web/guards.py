"""Open connections end when the right to them ends: within a second of a sign-out, a revoked token, a lost role.

One thread of a web process looks at one figure of the database (`core/epoch.py`) while connections are open. Only
when it has grown, or after `AT_LEAST`, for what ends by the clock, each connection's guard is asked again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy.exc import SQLAlchemyError

from devflow.core import epoch
from devflow.core.errors import DomainError

log = logging.getLogger(__name__)

PACE = 0.4
"""Seconds between two looks at the figure."""

AT_LEAST = 20.0
"""Seconds after which everybody is asked again whatever the figure says: tokens expire without a write."""

Guard = Callable[[], object]
"""Raises a DomainError when the connection may no longer be."""

Refuse = Callable[[DomainError], None]
"""Closes the connection with the error's code and sentence."""


class Guards:
    """Guards by connection. `context` is entered around every look, to give it a fresh app context."""

    def __init__(self, context: Callable[[], AbstractContextManager[object]], pace: float = PACE) -> None:
        self._context, self._pace = context, pace
        self._changed = threading.Condition()
        self._watched: dict[object, tuple[Guard, Refuse]] = {}
        self._seen: int | None = None
        self._asked = 0.0
        self._stopped = False
        threading.Thread(target=self._run, name="guards", daemon=True).start()

    def watch(self, connection: object, guard: Guard, refuse: Refuse) -> None:
        """Look after a connection until `leave`. What changed since the caller asked last is noticed too."""
        with self._changed:
            self._watched[connection] = (guard, refuse)
            self._seen = None
            self._changed.notify()

    def leave(self, connection: object) -> None:
        with self._changed:
            self._watched.pop(connection, None)

    def stop(self) -> None:
        """End the thread; connections stay."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def _run(self) -> None:
        while self._wait():
            try:
                with self._context():
                    self._look()
            except SQLAlchemyError as error:  # a database that is away takes no rights away
                log.warning("Rights cannot be looked at: %s", error)
                self._look_again()
            except Exception:
                log.exception("Looking after open connections failed")
                self._look_again()

    def _look_again(self) -> None:
        """Whoever was not asked is asked after a pause, whatever the figure says."""
        with self._changed:
            self._seen = None
            if not self._stopped:
                self._changed.wait(self._pace)

    def _wait(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or bool(self._watched))
            if not self._stopped and self._seen is not None:
                self._changed.wait(self._pace)
            return not self._stopped

    def _look(self) -> None:
        number = epoch.current()
        with self._changed:
            if number == self._seen and time.monotonic() - self._asked < AT_LEAST:
                return
            self._seen, self._asked = number, time.monotonic()
            everybody = list(self._watched.items())
        for connection, (guard, refuse) in everybody:
            try:
                guard()
            except DomainError as error:
                self.leave(connection)
                refuse(error)
