"""Huey, told rather than polled: two queues whose messages are only (job id, attempt).

The truth about a job is its row (`core/jobs.py`); a queue may lose everything and nothing is lost. With the embedded
SQLite storage a producer rings the workers' bell (a datagram on a Unix socket), so a job starts at once and an idle
worker sleeps.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from devflow.core.absent import absent

with absent("redis", "psycopg"):  # huey imports the clients of all its storages: 18 MB in every process, used or not
    from huey import Huey, PriorityRedisHuey, storage

QueueName = Literal["build", "default"]
QUEUES: tuple[QueueName, ...] = ("build", "default")
IDLE_POLL = 2.0
"""Seconds after which a worker looks by itself, should a ring have been lost."""


class Bell:
    """Wakes the workers of this machine. Ringing never blocks and never fails."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._condition = threading.Condition()
        self._rings = 0

    def ring(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.setblocking(False)
            for path in self._folder.glob("bell-*"):
                try:
                    out.sendto(b"!", str(path))
                except BlockingIOError:
                    pass
                except OSError:
                    path.unlink(missing_ok=True)  # its worker is gone

    def listen(self) -> None:
        """Hear rings from now on, in a thread of its own."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"bell-{os.getpid()}"
        path.unlink(missing_ok=True)
        heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        heard.bind(str(path))
        threading.Thread(target=self._hear, args=(heard,), daemon=True, name="bell").start()

    def _hear(self, heard: socket.socket) -> None:
        while heard.recv(16):
            with self._condition:
                self._rings += 1
                self._condition.notify_all()

    def count(self) -> int:
        return self._rings

    def wait(self, seen: int, seconds: float) -> None:
        """Sleep until there was a ring after `seen`, at most `seconds`."""
        with self._condition:
            self._condition.wait_for(lambda: self._rings != seen, seconds)


class TolledStorage(storage.SqliteStorage):
    """Huey's SQLite storage, whose `dequeue` sleeps until the bell rings."""

    blocking = True

    def __init__(self, name: str, bell: Bell, **options: Any) -> None:
        self._bell = bell
        super().__init__(name, **options)

    def enqueue(self, data: bytes, priority: float | None = None) -> None:
        super().enqueue(data, priority)
        self._bell.ring()

    def dequeue(self) -> bytes | None:
        seen = self._bell.count()
        data = super().dequeue()
        if data is None:
            self._bell.wait(seen, IDLE_POLL)
            data = super().dequeue()
        return data


class Queues:
    """The queues of this process. `run(job_id, attempt)` is what a worker does with a message."""

    def __init__(self, folder: Path, redis_url: str = "") -> None:
        self.bell = Bell(folder / "run")
        self._run: Callable[[str, int], None] | None = None
        self.hueys: dict[QueueName, Huey] = {name: self._open(name, folder, redis_url) for name in QUEUES}
        self._tasks = {name: huey.task(name="job", retries=0)(self._take) for name, huey in self.hueys.items()}

    def _open(self, name: QueueName, folder: Path, redis_url: str) -> Huey:
        if redis_url:
            return _in_redis(f"devflow-{name}", redis_url)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "queue.db"
        discard_if_damaged(path)
        # fsync off: after a power cut the file may be lost, and the job rows bring everything back.
        place = {"bell": self.bell, "filename": str(path), "fsync": False}
        huey = Huey(f"devflow-{name}", storage_class=TolledStorage, results=False, **place)
        huey.storage.close()  # opened again at the first use: a connection must not be carried through a fork
        return huey

    def handle(self, run: Callable[[str, int], None]) -> None:
        """Say what a worker does with a message."""
        self._run = run

    def _take(self, job_id: str, attempt: int) -> None:
        if self._run is None:
            raise RuntimeError("this process is not a worker")
        self._run(job_id, attempt)

    def send(self, queue: QueueName, job_id: str, attempt: int, priority: int = 0) -> None:
        task = self._tasks[queue].s(job_id, attempt, priority=priority)
        self.hueys[queue].enqueue(task)

    def waiting(self, queue: QueueName) -> int:
        return self.hueys[queue].pending_count()

    def ping(self) -> None:
        """Raises when the storage does not answer."""
        self.hueys["default"].pending_count()


def _in_redis(name: str, url: str) -> Huey:
    """A queue in Redis; Huey is handed the client it was imported without."""
    redis = import_module("redis")
    for needed in ("ConnectionPool", "Redis", "ConnectionError", "TimeoutError"):
        setattr(storage, needed, getattr(redis, needed))
    storage.RedisStorage.redis_client = redis.Redis
    return PriorityRedisHuey(name, url=url, results=False)


def discard_if_damaged(path: Path) -> None:
    """A queue file that SQLite cannot read is thrown away: the job rows are the truth."""
    if not path.exists():
        return
    try:
        with sqlite3.connect(path) as connection:
            healthy = connection.execute("pragma quick_check").fetchone() == ("ok",)
        connection.close()
    except sqlite3.DatabaseError:
        healthy = False
    if not healthy:
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).unlink()
