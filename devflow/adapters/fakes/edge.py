"""An edge in memory, for rules that only need to know what was published and switched."""

from __future__ import annotations

from collections.abc import Iterable

from devflow.core.errors import Unavailable
from devflow.ports.edge import Answer, AppRelease, Release, Site


class FakeEdge:
    """`devflow.ports.edge.Edge` without a process. `down` makes it raise; `answers` says what each version answers."""

    def __init__(self) -> None:
        self.down = False
        self.sites: dict[str, Site] = {}
        self.releases: dict[str, Release] = {}
        self.answers: dict[str, Answer] = {}
        self.loads = 0

    def ready(self) -> bool:
        return not self.down

    def publish(self, sites: Iterable[Site]) -> None:
        self._reach()
        known = {site.key: site for site in sites}
        if known != self.sites:
            self.sites, self.loads = known, self.loads + 1

    def switch(self, key: str, release: Release) -> None:
        self.releases[key] = release

    def current(self, key: str) -> Release | None:
        return self.releases.get(key)

    def withdraw(self, key: str) -> None:
        self.releases.pop(key, None)

    def ask(self, host: str, path: str, timeout: float) -> Answer:
        self._reach()
        site = next((site for site in self.sites.values() if host in site.hosts), None)
        if site is None:
            return Answer(404, None, f"No site answers at {host}".encode())
        release = self.releases.get(site.key)
        if site.closed:
            said = {"maintenance": b"Down for maintenance", "inactive": b"This site is switched off"}[site.closed]
            return Answer(503, release.version if release else None, said, closed=True)
        if release is None:
            return Answer(503, None, b"This project has no running version")
        return self.answers.get(release.version) or self._answer(release, path)

    def in_flight(self, release: Release) -> int | None:
        return 0 if isinstance(release, AppRelease) and release in self.releases.values() else None

    def _answer(self, release: Release, path: str) -> Answer:
        if isinstance(release, AppRelease):
            return Answer(200, release.version)
        file = release.root / (path.strip("/") or "index.html")
        return Answer(200, release.version, file.read_bytes()) if file.is_file() else Answer(404, release.version)

    def _reach(self) -> None:
        if self.down:
            raise Unavailable("The edge does not answer. Check that its process runs.")
