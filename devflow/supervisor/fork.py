"""A copy of this process that does something else: what is imported here is shared with it, not loaded again.

Only from a process without threads: a copy of a lock that another thread held would never be released.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

from devflow.supervisor import leash

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Fork:
    """Runs `work` in a child that dies with us. `output` is where it writes (a file descriptor); None: where we do.

    Has of `subprocess.Popen` what a supervisor needs.
    """

    def __init__(self, work: Callable[[], object], title: str, output: int | None = None) -> None:
        self.returncode: int | None = None
        if threading.active_count() > 1:
            raise RuntimeError(f"a fork beside threads: {threading.enumerate()}")
        supervisor = os.getpid()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # or the copy would write it once more
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # ours must not be heard by the copy
        try:
            self.pid = os.fork()
            if self.pid == 0:
                _live(lambda: _settle(supervisor, title, output, blocked), work)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def poll(self) -> int | None:
        """Exit code; negative for a signal; None while it runs."""
        if self.returncode is None:
            self._reap(os.WNOHANG)
        return self.returncode

    def wait(self) -> int:
        while self.returncode is None:
            self._reap(0)
        return self.returncode

    def terminate(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def _reap(self, options: int) -> None:
        pid, status = os.waitpid(self.pid, options)
        if pid:
            self.returncode = os.waitstatus_to_exitcode(status)


def _live(settle: Callable[[], None], work: Callable[[], object]) -> NoReturn:
    """The whole life of the copy. It must never return into the supervisor's code."""
    code = 1
    try:
        settle()
        work()
        code = 0
    except SystemExit as end:
        code = _code(end)
    except BaseException:
        traceback.print_exc()
    _leave(code)


def _settle(supervisor: int, title: str, output: int | None, mask: set[int]) -> None:
    os.setsid()  # Ctrl-C is for the supervisor alone; it passes it on in order
    leash.tie(supervisor)
    leash.name(title)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    if output is not None:
        os.dup2(output, 1)
        os.dup2(output, 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # pipes of its siblings, the lock of the data folder
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _code(end: SystemExit) -> int:
    if isinstance(end.code, str):
        print(end.code, file=sys.stderr)
        return 1
    return end.code or 0


def _leave(code: int) -> NoReturn:
    """End as an interpreter does, without going up through the frames that were copied."""
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
