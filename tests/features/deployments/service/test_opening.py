"""A long log begins near its end, and what came before follows backwards, each line once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devflow.adapters.logs import SqliteLogs
from devflow.features.deployments.models import Deployment
from devflow.features.deployments.service import finding

SLICE = finding.SLICE
DEPLOYMENT = Deployment(id="d", project_id="p")


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[SqliteLogs]:
    made = SqliteLogs(tmp_path / "logs.db")
    yield made
    made.close()


def written(logs: SqliteLogs, steps: list[str]) -> None:
    writer = logs.writer(DEPLOYMENT.log_stream)
    for number, step in enumerate(steps, 1):
        writer.write(f"line {number}", step=step)
    writer.close()


def test_a_short_log_opens_whole(logs: SqliteLogs) -> None:
    assert finding.opening(DEPLOYMENT, logs, lines=10) == 0
    written(logs, ["build"] * 20)
    assert finding.opening(DEPLOYMENT, logs, lines=10) == 0


def test_a_long_one_opens_at_its_last_lines(logs: SqliteLogs) -> None:
    written(logs, ["build"] * 30)
    assert finding.opening(DEPLOYMENT, logs, lines=10) == 20


def test_it_opens_where_a_line_names_its_step(logs: SqliteLogs) -> None:
    written(logs, ["build"] * 19 + [""] * 4 + ["run"] * 7)
    assert finding.opening(DEPLOYMENT, logs, lines=10) == 23
    written(logs, [""] * 10)
    assert finding.opening(DEPLOYMENT, logs, lines=10) == 30, "no step anywhere near: the last lines all the same"


@pytest.mark.parametrize("count", [1, SLICE - 1, SLICE, SLICE + 1, 3 * SLICE, 3 * SLICE + 7])
def test_what_came_before_follows_backwards_without_gap_or_repetition(logs: SqliteLogs, count: int) -> None:
    written(logs, ["build"] * (count + 50))
    slices = list(finding.earlier(DEPLOYMENT, logs, count + 1))
    assert [line.seq for part in reversed(slices) for line in part] == list(range(1, count + 1))
    assert max(map(len, slices)) <= SLICE


def test_before_the_first_line_there_is_nothing(logs: SqliteLogs) -> None:
    written(logs, ["build"] * 5)
    assert list(finding.earlier(DEPLOYMENT, logs, 1)) == []
    assert [line.seq for part in finding.earlier(DEPLOYMENT, logs, 1_000_000) for line in part] == [1, 2, 3, 4, 5]


def test_a_log_that_is_deleted_meanwhile_ends_the_answer(logs: SqliteLogs) -> None:
    written(logs, ["build"] * 3 * SLICE)
    slices = finding.earlier(DEPLOYMENT, logs, 3 * SLICE + 1)
    next(slices)
    logs.delete(DEPLOYMENT.log_stream)
    assert list(slices) == []
