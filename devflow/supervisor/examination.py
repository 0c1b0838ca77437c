"""The doctor as a port, so that pages may ask it too."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from devflow.core.settings import Settings
from devflow.ports.doctor import Check


class PlatformDoctor:
    """Examines the platform that these settings describe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def checks(self) -> Sequence[Check]:
        # By name: the clients of everything it examines are loaded when somebody asks, not with every process.
        found: Sequence[Check] = import_module("devflow.supervisor.doctor").checks(self._settings)
        return found
