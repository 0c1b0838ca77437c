"""The doctor as a port, so that pages may ask it too."""

from __future__ import annotations

from collections.abc import Sequence

from devflow.core.settings import Settings
from devflow.ports.doctor import Check
from devflow.supervisor.doctor import checks


class PlatformDoctor:
    """Examines the platform that these settings describe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def checks(self) -> Sequence[Check]:
        return [Check(found.name, found.state, found.says, found.mend) for found in checks(self._settings)]
