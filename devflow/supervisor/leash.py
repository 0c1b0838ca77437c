"""Becomes the program in its arguments, after asking the kernel to end it when the supervisor dies. Runs as a script.

A script and not `preexec_fn`: the supervisor has threads, and Python code between fork and exec may then hang.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(supervisor: int, argv: list[str]) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != supervisor:  # it died before we asked
        sys.exit(1)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - that is what it is for
    except OSError as error:
        print(f"{argv[0]} cannot be started: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
