"""Ties a process to its supervisor and gives it a name. As a script it then becomes the program in its arguments.

A script and not `preexec_fn`: that would be Python code between fork and exec, in a process that may have threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


def tie(supervisor: int) -> None:
    """Let the kernel end us when the supervisor dies; ends us now if it has."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != supervisor:  # it died before we asked
        sys.exit(1)


def name(text: str) -> None:
    """What `ps -e`, `top` and `pgrep` call this process; at most 15 bytes count."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NAME, text.encode(), 0, 0, 0)


def main(supervisor: int, argv: list[str]) -> None:
    tie(supervisor)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - that is what it is for
    except OSError as error:
        print(f"{argv[0]} cannot be started: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
