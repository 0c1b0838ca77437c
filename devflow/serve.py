"""Become one of DevFlow's processes: `python -m devflow.serve web|worker|edge`, for systemd and containers.

Exactly what `devflow up` would start, without the supervisor around it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from devflow.adapters.caddy.process import prepare
from devflow.app import edge_of
from devflow.core.errors import DomainError
from devflow.core.settings import load
from devflow.supervisor.services import services

NAMES = ("web", "worker", "edge")


def main(arguments: Sequence[str]) -> None:
    if len(arguments) != 1 or arguments[0] not in NAMES:
        sys.exit(f"Usage: python -m devflow.serve {'|'.join(NAMES)}")
    try:
        settings = load()
        command = prepare(edge_of(settings).settings) if arguments[0] == "edge" else None
    except DomainError as error:
        sys.exit(f"Error: {error.message}")
    service = next(one for one in services(settings, command) if one.name == arguments[0])
    os.execvpe(service.argv[0], service.argv, dict(service.environment))  # noqa: S606 - becoming it is the point


if __name__ == "__main__":
    main(sys.argv[1:])
