"""What is special about each log store; what they share is in `tests/ports/test_logs.py`."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import psycopg
import pytest

from devflow.adapters.logs import SqliteLogs, open_logs
from devflow.adapters.logs.postgres import PostgresLogs
from devflow.core.errors import Unavailable
from devflow.core.settings import Settings
from tests.ports.test_logs import fill, messages
from tests.postgres_fixture import Cluster, postgres_url

__all__ = ["postgres_url"]


def test_a_locked_sqlite_file_only_delays(tmp_path: Path) -> None:
    logs = SqliteLogs(tmp_path / "deep" / "logs.db")
    fill(logs, "locked", 1)
    blocker = sqlite3.connect(tmp_path / "deep" / "logs.db", isolation_level=None)
    blocker.execute("begin immediate")
    writer = logs.writer("locked")
    writer.write("line 2")
    started = time.monotonic()
    assert messages(logs, "locked") == ["line 1"]
    assert time.monotonic() - started < 1, "readers must not wait for writers"
    blocker.execute("commit")
    writer.close()
    assert messages(logs, "locked") == ["line 1", "line 2"]
    logs.close()


def test_a_file_that_is_no_database_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "logs.db").write_text("no database at all, but long enough to have a header" * 100)
    with pytest.raises(Unavailable, match="Check the free disk space"):
        SqliteLogs(tmp_path / "logs.db").last_seq("any")


def test_many_may_open_a_new_sqlite_file_at_once(tmp_path: Path) -> None:
    for attempt in range(10):
        stores = [SqliteLogs(tmp_path / str(attempt) / "logs.db") for _ in range(8)]
        threads = [threading.Thread(target=fill, args=(store, "x", 1)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert stores[0].last_seq("x") == 8
        for store in stores:
            store.close()


def test_deleting_gives_the_disk_back(tmp_path: Path) -> None:
    logs = SqliteLogs(tmp_path / "logs.db")
    writer = logs.writer("big")
    for n in range(60_000):
        writer.write(f"{hash((n, 1)):x}{hash((n, 2)):x} {n}" * 3)
    writer.close()
    path = tmp_path / "logs.db"
    with sqlite3.connect(path) as other:
        other.execute("pragma wal_checkpoint(truncate)")
    before = path.stat().st_size
    logs.delete("big")
    with sqlite3.connect(path) as other:
        other.execute("pragma wal_checkpoint(truncate)")
    assert before > 500_000
    assert path.stat().st_size < before / 10
    logs.close()


@pytest.mark.slow
def test_lines_survive_a_crash_of_postgres() -> None:
    cluster = Cluster()
    try:
        cluster.start()
        logs = PostgresLogs(f"{cluster.url}/postgres", patience=60)
        writer = logs.writer("crash")
        writer.write("before")
        writer.flush()
        cluster.stop()
        for n in range(700):
            writer.write(f"meanwhile {n}")
        with pytest.raises(Unavailable, match="Check that the database answers"):
            logs.last_seq("crash")
        cluster.start()
        writer.close()
        assert messages(logs, "crash") == ["before", *(f"meanwhile {n}" for n in range(700))]
        cluster.stop()
        cluster.start()
        assert logs.last_seq("crash") == 701, "an idle connection that broke is replaced unnoticed"
        logs.close()
    finally:
        cluster.remove()


def test_many_processes_may_create_the_postgres_table_at_once(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("drop table if exists log_chunk")
    stores = [PostgresLogs(postgres_url.replace("postgresql://", "postgresql+psycopg://")) for _ in range(8)]
    found: list[int] = []
    threads = [threading.Thread(target=lambda store=store: found.append(store.last_seq("x"))) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [0] * 8
    for store in stores:
        store.close()


def test_the_settings_choose_the_store(tmp_path: Path, postgres_url: str) -> None:
    embedded = open_logs(Settings(data_dir=tmp_path, database_url=""))
    fill(embedded, "here", 1)
    assert (tmp_path / "logs.db").exists()
    grown = open_logs(Settings(data_dir=tmp_path, database_url=postgres_url))
    fill(grown, "there", 1)
    assert (embedded.streams(), grown.streams()) == (("here",), ("there",))
    grown.delete("there")
    embedded.close()
    grown.close()
