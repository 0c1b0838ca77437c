"""Ports that stay free until a server takes them."""

from __future__ import annotations

import random
import socket

# Below the range from which the system gives ports to clients: one asked from the system may be somebody's outgoing
# connection a moment later.
_RANGE = range(10_000, 32_000)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    while True:
        port = random.choice(_RANGE)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
