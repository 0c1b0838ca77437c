"""One running platform for all stories of a store; each story has its own user and repositories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.journeys.platform import Platform, Repository, User


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """`devflow up` with SQLite and the embedded queue."""
    running = Platform(tmp_path_factory.mktemp("platform")).start()
    running.user("Administrator")  # the first account is the administrator
    yield running
    running.remove()


@pytest.fixture
def user(platform: Platform) -> User:
    if not platform.running:
        platform.start()  # a story that failed may have left it stopped; the next ones shall not fail with it
    return platform.user()


@pytest.fixture
def repository(tmp_path: Path) -> Callable[..., Repository]:
    """Make a repository: `repository("name", files)`."""

    def make(name: str, files: dict[str, str] | None = None) -> Repository:
        made = Repository(tmp_path / name)
        if files is not None:
            made.commit(files, "Begin")
        return made

    return make
