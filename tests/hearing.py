"""Programs that are started by tests and measurements hear Ctrl-C and hang-up."""

from __future__ import annotations

import signal
import threading


def hear_signals() -> None:
    """Also where we were started in the background, which ignores both, and would be inherited."""
    for sign, heard in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(sign) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
            signal.signal(sign, heard)
