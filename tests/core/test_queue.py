"""The embedded queue: messages wake a sleeping worker at once, and a damaged file is no disaster."""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from devflow.core.queue import IDLE_POLL, Bell, Queues
from devflow.worker import QuietConsumer
from tests.journeys.platform import ROOT, wait_for

SEND = """
import sys
from pathlib import Path
from devflow.core.queue import Queues
Queues(Path(sys.argv[1])).send(*sys.argv[2:4], 1)
"""


class Worker:
    """A consumer in this process that notes when it was given what."""

    def __init__(self, folder: Path) -> None:
        self.taken: dict[str, float] = {}
        self.queues = Queues(folder)
        self.queues.handle(self._take)
        self.queues.bell.listen()
        self.consumer = QuietConsumer(
            self.queues.hueys["build"], workers=1, periodic=False, initial_delay=0.05, max_delay=0.2,
            check_worker_health=False,
        )  # fmt: skip
        self.consumer.start()

    def _take(self, job_id: str, attempt: int) -> None:
        self.taken[job_id] = time.monotonic()

    def stop(self) -> None:
        self.consumer.stop_flag.set()
        self.queues.bell.ring()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    made = Worker(tmp_path)
    yield made
    made.stop()


def _asleep() -> bool:
    """Is a worker of ours waiting for the bell?"""
    frames = sys._current_frames().values()
    return any("wait_for" in _names(frame) and "dequeue" in _names(frame) for frame in frames)


def _names(frame: object) -> set[str]:
    names = set()
    while frame is not None:
        names.add(frame.f_code.co_name)  # type: ignore[attr-defined]
        frame = frame.f_back  # type: ignore[attr-defined]
    return names


def test_the_bell_wakes_a_sleeping_worker(worker: Worker, tmp_path: Path) -> None:
    producer, waits = Queues(tmp_path), []
    for number in range(9):
        wait_for(_asleep, 5, "the worker's sleep")
        sent = time.monotonic()
        producer.send("build", f"job {number}", 1)
        wait_for(partial(worker.taken.get, f"job {number}"), 5, "taking it")
        waits.append(worker.taken[f"job {number}"] - sent)
    assert statistics.median(waits) < 0.1 < IDLE_POLL, waits


def test_another_process_rings_too(worker: Worker, tmp_path: Path) -> None:
    wait_for(_asleep, 5, "the worker's sleep")
    subprocess.run([sys.executable, "-c", SEND, str(tmp_path), "build", "from afar"], cwd=ROOT, check=True)
    wait_for(lambda: "from afar" in worker.taken, 5, "taking it")
    assert worker.queues.waiting("build") == 0


def test_the_two_queues_do_not_mix(worker: Worker, tmp_path: Path) -> None:
    producer = Queues(tmp_path)
    producer.send("default", "for others", 1)
    producer.send("build", "for us", 1)
    wait_for(lambda: "for us" in worker.taken, 5, "taking it")
    assert "for others" not in worker.taken and producer.waiting("default") == 1


def test_messages_survive_a_restart_of_the_worker(tmp_path: Path) -> None:
    Queues(tmp_path).send("build", "waiting", 2)
    late = Worker(tmp_path)
    try:
        wait_for(lambda: "waiting" in late.taken, 5, "taking it")
    finally:
        late.stop()


def test_the_bell_of_a_dead_worker_is_taken_down(tmp_path: Path) -> None:
    bell = Bell(tmp_path)
    dead = tmp_path / "bell-999999"
    dead.touch()
    bell.ring()
    assert not dead.exists()


def test_a_lost_ring_costs_little_time(tmp_path: Path) -> None:
    bell, began = Bell(tmp_path), time.monotonic()
    bell.wait(bell.count(), 0.2)
    assert 0.15 < time.monotonic() - began < 5


def test_ringing_before_the_wait_is_not_missed(tmp_path: Path) -> None:
    bell = Bell(tmp_path)
    bell.listen()
    seen = bell.count()
    bell.ring()
    waiting = threading.Thread(target=bell.wait, args=(seen, 60), daemon=True)
    waiting.start()
    waiting.join(5)
    assert not waiting.is_alive()
    assert (tmp_path / f"bell-{os.getpid()}").exists()


@pytest.mark.parametrize("damage", ["garbage", "half"])
def test_a_damaged_queue_is_thrown_away(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "queue.db"
    first = Queues(tmp_path)
    for number in range(200):
        first.send("build", f"job {number}", 1)
    for huey in first.hueys.values():
        huey.storage.close()
    with sqlite3.connect(path) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
    whole = path.read_bytes()
    path.write_bytes(b"not a database" * 1000 if damage == "garbage" else whole[: len(whole) // 2])
    again = Queues(tmp_path)
    assert again.waiting("build") == 0
    again.send("build", "fresh", 1)
    assert again.waiting("build") == 1
