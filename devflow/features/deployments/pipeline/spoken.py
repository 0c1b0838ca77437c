"""What an app says while it is being released, in the deployment's log."""

from __future__ import annotations

import threading
from collections import deque

from devflow.core.errors import Cancelled
from devflow.features.deployments.rules.plan import Report


class AppOutput:
    """The first lines of the app; once it is released they are its own affair."""

    LINES = 2000
    LAST = 20

    def __init__(self, report: Report) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._left = self.LINES
        self._recent: deque[str] = deque(maxlen=self.LINES)

    def __call__(self, stream: str, text: str) -> None:
        """Raises Cancelled when nobody listens any more, so that the engine's stream is hung up."""
        with self._lock:
            if self._left <= 0 or self._report.cancelled():
                raise Cancelled("The log of this deployment is complete.")
            self._left -= 1
            if self._left == 0:
                text = f"The app prints a lot; from here on its lines are left out. {text}"
            self._recent.append(text)
            try:
                self._report.log(text, stream=stream, step="run")
            except ValueError as closed:  # the deployment is over
                raise Cancelled("The log of this deployment is complete.") from closed

    def finish(self, last: tuple[str, ...]) -> None:
        """Close it with the app's last lines, unless they are in the log already."""
        with self._lock:
            self._left = 0
            missing = [text for text in last if text not in self._recent]
        for text in missing:
            self._report.log(text, stream="stdout", step="check")
        if not last and not self._recent:
            self._report.log("The app printed nothing.", level="warning", step="check")
