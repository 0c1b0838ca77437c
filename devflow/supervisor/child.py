"""One process: started so that it dies with us, its lines handed on, stopped with TERM and, if need be, KILL."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path

from devflow.supervisor.output import Output
from devflow.supervisor.services import Service

_LEASH = str(Path(__file__).with_name("leash.py"))
_KEPT_LINES = 20
_LAST_WORDS = 1.0


class Child:
    """Start it from the main thread only: the kernel ties a child's life to the thread that made it."""

    def __init__(self, service: Service, output: Output) -> None:
        self.service = service
        self.started = time.monotonic()
        self.last: deque[str] = deque(maxlen=_KEPT_LINES)
        self._output = output
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", _LEASH, str(os.getpid()), *service.argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PYTHONUNBUFFERED": "1", **service.environment},
            cwd=service.folder,
            start_new_session=True,  # Ctrl-C is for us alone; we pass it on in order
        )
        self._reader = threading.Thread(target=self._read, name=f"output-{service.name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Exit code; negative for a signal; None while it runs."""
        return self._process.poll()

    def ending(self) -> str:
        """How it ended, in words."""
        code = self.code
        if code is not None and code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def terminate(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """The process and whatever it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def finish(self) -> None:
        """Take its last lines, once it has ended."""
        self._reader.join(_LAST_WORDS)

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        for raw in stream:
            line = raw.decode("utf-8", "replace").rstrip()
            self.last.append(line)
            self._output.write(self.service.name, line)
