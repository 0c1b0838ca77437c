"""The edge: the one server that users' browsers meet. Routes hosts to releases and never drops a request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol


@dataclass(frozen=True)
class Site:
    """Hosts that lead to whatever release of `key` is current. `key` is a project's id: it never changes."""

    key: str
    hosts: tuple[str, ...]
    kind: Literal["app", "static"]
    tls: bool = False
    spa: bool = False
    """Static only: an unknown path is answered with /index.html and 200."""
    closed: Literal["", "inactive", "maintenance"] = ""
    """Its hosts answer 503 with a page that says so, whatever the release."""


@dataclass(frozen=True)
class AppRelease:
    """A running container: requests go to `address:port`."""

    version: str
    address: str
    port: int


@dataclass(frozen=True)
class StaticRelease:
    """A folder of files that the edge serves itself."""

    version: str
    root: Path


Release = AppRelease | StaticRelease


@dataclass(frozen=True)
class Answer:
    """What came back through the edge; `version` is the release the edge says it used."""

    status: int
    version: str | None
    body: bytes = b""
    closed: bool = False
    """The page of a closed site; `version` is the release behind it."""


class Edge(Protocol):
    """Every method raises `Unavailable` when the edge does not answer."""

    def ready(self) -> bool:
        """Does the edge process answer?"""
        ...

    def publish(self, sites: Iterable[Site]) -> None:
        """Make the edge know exactly these sites (and the dashboard). Does nothing when nothing changed."""
        ...

    def switch(self, key: str, release: Release) -> None:
        """From the next request on, `key` is served by this release. Atomic; no reload, no dropped request."""
        ...

    def current(self, key: str) -> Release | None: ...

    def withdraw(self, key: str) -> None:
        """Serve `key` no longer; its hosts answer a plain 503 page that says so."""
        ...

    def ask(self, host: str, path: str, timeout: float) -> Answer:
        """Request a page as a browser would, through the edge's own listener."""
        ...

    def in_flight(self, release: Release) -> int | None:
        """Requests still being answered by this release; None when the edge cannot tell."""
        ...
