"""Our own share of a deployment: accepted → first answer of the new version through the edge, minus the same clone,
build, run and boot done by hand.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.by_hand import Hands, answered, until
from tests.bench.table import Figure, percentile
from tests.journeys.platform import Platform, Repository, User, python_app

COLD, CHANGES, CACHED = 5, 15, 15
AIM = 0.3
Round = tuple[float, float]
"""Seconds: ours, by hand."""


def run(folder: Path) -> list[Figure]:
    platform = Platform(folder / "platform").start()
    hands = Hands(folder / "hands")
    try:
        bench = Bench(platform.user(), hands, folder)
        return [
            _figure("cold", [bench.cold() for _ in range(COLD + 1)][1:]),  # the first finds nothing warm, on both sides
            _figure("code change", bench.changes(CHANGES)),
            _figure("cached", bench.cached(CACHED)),
        ]
    finally:
        hands.close()
        platform.remove()


class Bench:
    """Both ways to deploy, turn by turn."""

    def __init__(self, user: User, hands: Hands, folder: Path) -> None:
        self._user, self._hands, self._folder = user, hands, folder
        self._names = (f"bench-{number}" for number in itertools.count())
        self._changing = self._project()

    def cold(self) -> Round:
        """A project nobody has seen, built without any cache."""
        project, repository = self._project()
        return self._in_turn(
            lambda: self._ours(project, clear_cache=True),
            lambda: self._hands.deploy(repository, str(project["id"]), no_cache=True),
        )

    def changes(self, rounds: int) -> list[Round]:
        """A line of the app changed; a commit for each side, or one would find the other's layers."""
        project, repository = self._changing
        self._ours(project)

        def ours() -> float:
            repository.commit(python_app(uuid.uuid4().hex))
            return self._ours(project)

        def by_hand() -> float:
            repository.commit(python_app(uuid.uuid4().hex))
            return self._hands.deploy(repository, str(project["id"]))

        return [self._in_turn(ours, by_hand) for _ in range(rounds)]

    def cached(self, rounds: int) -> list[Round]:
        """The same commit again."""
        project, repository = self._changing
        self._ours(project)
        return [
            self._in_turn(lambda: self._ours(project), lambda: self._hands.deploy(repository, str(project["id"])))
            for _ in range(rounds)
        ]

    def _in_turn(self, ours: Callable[[], float], by_hand: Callable[[], float]) -> Round:
        return ours(), by_hand()

    def _project(self) -> tuple[dict[str, Any], Repository]:
        name = next(self._names)
        repository = Repository(self._folder / name)
        repository.commit(python_app(uuid.uuid4().hex))
        return self._user.project(str(repository), name=name), repository

    def _ours(self, project: dict[str, Any], **options: Any) -> float:
        """Seconds from the acceptance until the edge answers with the new version."""
        made = self._user.deploy(project, **options)
        began = time.perf_counter()
        port = self._user.platform.http_port
        until(lambda: str(made["id"]) in (answered("127.0.0.1", port, f"{project['slug']}.localhost") or ""))
        taken = time.perf_counter() - began
        ended = self._user.ended(made)
        assert ended["status"] == "success", ended
        return taken


def _figure(name: str, rounds: list[Round]) -> Figure:
    own = percentile([ours - by_hand for ours, by_hand in rounds], 50)
    raw = percentile([by_hand for _, by_hand in rounds], 50)
    whole = percentile([ours for ours, _ in rounds], 50)
    return Figure(
        f"own share of a deploy, {name}, p50", own, "s", raw, AIM,
        f"the same clone, build, run and boot by hand; ours as a whole: {whole:.2f} s",
    )  # fmt: skip
