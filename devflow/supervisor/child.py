"""One process: started so that it dies with us, its lines handed on, stopped with TERM and, if need be, KILL."""

from __future__ import annotations

import contextlib
import os
import runpy
import select
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

from devflow.supervisor.fork import Fork
from devflow.supervisor.output import Output
from devflow.supervisor.services import Service

_LEASH = str(Path(__file__).with_name("leash.py"))
_KEPT_LINES = 20
_LAST_WORDS = 1.0
_CHUNK = 65536


class Child:
    """Start it from the main thread only: the kernel ties a child's life to the thread that made it."""

    def __init__(self, service: Service, output: Output) -> None:
        self.service = service
        self.started = time.monotonic()
        self.last: deque[str] = deque(maxlen=_KEPT_LINES)
        self._output = output
        self._begun = b""
        self.pipe, theirs = os.pipe()
        os.set_blocking(self.pipe, False)
        self.silent = False
        self._process = _fork(service, theirs) if service.forked else _program(service, theirs)
        os.close(theirs)

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
        deadline = time.monotonic() + _LAST_WORDS
        while not self.silent and select.select([self.pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
            self.hear()
        self._hush()

    def hear(self) -> None:
        """Hand on the lines that have come; never waits."""
        try:
            data = os.read(self.pipe, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._hush()
            return
        *lines, self._begun = (self._begun + data).split(b"\n")
        for line in lines:
            self._tell(line)

    def _hush(self) -> None:
        if not self.silent:
            self.silent = True
            os.close(self.pipe)
            if self._begun:
                self._tell(self._begun)

    def _tell(self, raw: bytes) -> None:
        line = raw.decode("utf-8", "replace").rstrip()
        self.last.append(line)
        self._output.write(self.service.name, line)


def _program(service: Service, output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", _LEASH, str(os.getpid()), *service.argv],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env={"PYTHONUNBUFFERED": "1", **service.environment},
        cwd=service.folder,
        start_new_session=True,  # Ctrl-C is for us alone; we pass it on in order
    )


def _fork(service: Service, output: int) -> Fork:
    """What `python -m module …` would do, with what is imported here."""
    python, option, module, *arguments = service.argv
    if (python, option) != (sys.executable, "-m"):
        raise ValueError(f"{service.name} is no Python module: {service.argv}")

    def work() -> None:
        os.environ.clear()
        os.environ.update(service.environment)
        os.chdir(service.folder)
        sys.argv[:] = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)

    return Fork(work, f"devflow-{service.name}", output)
