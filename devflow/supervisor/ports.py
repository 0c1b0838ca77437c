"""Ports: is one free, and who has it if not."""

from __future__ import annotations

import contextlib
import errno
import re
import socket
import time
from collections.abc import Iterable
from pathlib import Path

from devflow.core.errors import Conflict

_LISTENING = "0A"


_PATIENCE = 5.0
"""Seconds a port may still be held: the processes of a DevFlow that was killed a moment ago are on their way out."""


def check(wanted: Iterable[tuple[str, int, str]], patience: float = _PATIENCE) -> None:
    """Raise `Conflict` for the first (address, port, variable) that cannot be listened on."""
    deadline = time.monotonic() + patience
    for address, port, variable in wanted:
        while problem := obstacle(address, port, variable):
            if time.monotonic() > deadline:
                raise Conflict(problem)
            time.sleep(0.05)


def obstacle(address: str, port: int, variable: str) -> str:
    """Why nobody can listen there, as a sentence; empty when it is free."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except PermissionError:
            return (
                f"Only root may listen on port {port}. Choose one above 1023 with {variable}, or allow it: "
                f"sudo sysctl net.ipv4.ip_unprivileged_port_start={port}"
            )
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return f"DevFlow cannot listen on {address}:{port}: {error.strerror}. Change it with {variable}."
            return f"Port {port} is taken{holder(port)}. Stop that, or choose another port with {variable}."
    return ""


def holder(port: int) -> str:
    """` by nginx (process 812)`, as far as /proc tells."""
    inodes = {f"socket:[{inode}]" for inode in _inodes(port)}
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and inodes & _sockets(process):
            with contextlib.suppress(OSError):  # it ended meanwhile
                return f" by {(process / 'comm').read_text().strip()} (process {process.name})"
    return ""


def _sockets(process: Path) -> set[str]:
    """What its open files point to; empty when it ended or belongs to someone else."""
    found = set()
    with contextlib.suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):  # closed since
                found.add(str(descriptor.readlink()))
    return found


def _inodes(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                cells = line.split()
                if cells[3] == _LISTENING and re.fullmatch(rf"[0-9A-F]+:{port:04X}", cells[1]):
                    found.add(cells[9])
    return found
