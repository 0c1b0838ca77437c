"""Asking what DevFlow stands on, with a limit on the time it may take to answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[], object]
PATIENCE = 1.5
"""Seconds; what has not answered by then counts as down."""


class Checks:
    """Runs checks side by side. One that hangs is asked again only after it has come back, so none pile up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hanging: dict[str, _Running] = {}

    def run(self, checks: Mapping[str, Check], patience: float = PATIENCE) -> dict[str, dict[str, Any]]:
        """What each check found: `ok` with its latency, or `down` with the kind of error."""
        deadline = time.monotonic() + patience
        running = {name: self._begin(name, check) for name, check in checks.items()}
        return {name: one.result(max(0.0, deadline - time.monotonic())) for name, one in running.items()}

    def _begin(self, name: str, check: Check) -> _Running:
        with self._lock:
            last = self._hanging.get(name)
            if last is None or last.done.is_set():
                last = self._hanging[name] = _Running(name, check)
            return last


class _Running:
    """One check in a thread of its own."""

    def __init__(self, name: str, check: Check) -> None:
        self.done = threading.Event()
        self._check = check
        self._began = time.perf_counter()
        self._found: dict[str, Any] = {}
        threading.Thread(target=self._run, name=f"check-{name}", daemon=True).start()

    def result(self, seconds: float) -> dict[str, Any]:
        """What was found; after so many seconds without an answer, that there is none."""
        if self.done.wait(seconds):
            return self._found
        waited = round((time.perf_counter() - self._began) * 1000, 2)
        return {"status": "down", "error": "Timeout", "latency_ms": waited}

    def _run(self) -> None:
        try:
            self._check()
            self._found = {"status": "ok", "latency_ms": round((time.perf_counter() - self._began) * 1000, 2)}
        except Exception as error:
            self._found = {"status": "down", "error": type(error).__name__}
        finally:
            self.done.set()
