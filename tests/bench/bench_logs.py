"""How fast logs are stored and reach a viewer, against the rawest way to do the same in the same run."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles

from devflow.adapters.logs import ChunkedLogs, SqliteLogs
from devflow.adapters.logs.postgres import PostgresLogs
from tests.bench.table import Figure
from tests.postgres_fixture import fresh_database
from tests.web.hub_server import Server
from tests.web.socket_client import watch

LINES = 100_000
TIMED_LINES = 3000
CROWD = 100
AIM = 150.0
"""Milliseconds."""
CHUNK = 500
SECRETS = [f"s3cr3t-value-number-{n}-{n * 7919:x}" for n in range(10)]
TEXTS = [
    f"step {n % 9}/9: installing dependencies into the image layer, package number {n} of {LINES} from the index"
    for n in range(LINES)
]


def figures(_folder: Path) -> list[Figure]:
    """The same for the table of all measurements."""
    found = {name: float(value) for name, value in run().items()}
    one, crowd = "line to socket, 1 viewer", f"line to socket, {CROWD} viewers"
    echo = "a bare loopback echo"
    return [
        Figure("log lines stored (SQLite)", found["stored in sqlite (lines/s)"], "lines/s",
               found["raw sqlite, a row a line (lines/s)"], None, "a row a line in a bare SQLite table"),
        Figure("log lines stored (SQLite), 10 secrets masked", found["stored in sqlite, 10 secrets masked (lines/s)"],
               "lines/s", found["raw sqlite, a row a line (lines/s)"], None, "a row a line in a bare SQLite table"),
        *(Figure(f"{name}, {rank}", found[f"{name}, {rank} (ms)"], "ms", found[f"raw socket echo {rank} (ms)"],
                 AIM if rank == "p95" else None, echo) for name in (one, crowd) for rank in ("p50", "p95")),
        Figure("log lines lost or doubled", found["lines lost or doubled, 1 viewer"]
               + found[f"lines lost or doubled, {CROWD} viewers"], "", None, 0, ""),
    ]  # fmt: skip


def run() -> dict[str, float | str]:
    """All figures: lines a second, milliseconds, and ratios to the raw reference."""
    folder = Path(tempfile.mkdtemp(prefix="devflow-bench-"))
    try:
        return _stores(folder) | _sockets(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _stores(folder: Path) -> dict[str, float | str]:
    raw = LINES / _timed(lambda: _raw_insert(folder / "raw.db"))
    raw_chunks = LINES / _timed(lambda: _raw_insert(folder / "chunks.db", CHUNK))
    sqlite = SqliteLogs(folder / "store.db")
    stored = LINES / _timed(lambda: _store(sqlite, "plain", []))
    masked = LINES / _timed(lambda: _store(sqlite, "masked", SECRETS))
    read = LINES / _timed(lambda: sqlite.read("plain", limit=LINES))
    sqlite.close()
    with fresh_database() as url:
        postgres = PostgresLogs(url)
        in_postgres = LINES / _timed(lambda: _store(postgres, "plain", []))
        postgres.close()
    return {
        "raw sqlite, a row a line (lines/s)": round(raw),
        "raw sqlite, a row per 500 lines (lines/s)": round(raw_chunks),
        "stored in sqlite (lines/s)": round(stored),
        "stored in sqlite, ratio to a row a line": round(stored / raw, 2),
        "stored in sqlite, 10 secrets masked (lines/s)": round(masked),
        "stored in postgres (lines/s)": round(in_postgres),
        "read from sqlite (lines/s)": round(read),
        "size on disk, ratio to a row a line": round(_size(folder, "store") / 2 / _size(folder, "raw"), 2),
    }


def _sockets(folder: Path) -> dict[str, float | str]:
    echo = _raw_echo()
    server = Server("gunicorn", folder)
    try:
        one = asyncio.run(
            watch(server.port, "/lines/one", 1, TIMED_LINES, ready=lambda: _write_paced(server.logs, "one"))
        )
        many = asyncio.run(
            watch(server.port, "/lines/many", CROWD, TIMED_LINES, ready=lambda: _write_paced(server.logs, "many"))
        )
    finally:
        server.stop()
    figures: dict[str, float | str] = {
        "raw socket echo p50 (ms)": _ms(echo, 50),
        "raw socket echo p95 (ms)": _ms(echo, 95),
    }
    for name, report in (("1 viewer", one), (f"{CROWD} viewers", many)):
        figures |= {
            f"line to socket, {name}, p50 (ms)": _ms(report.lags, 50),
            f"line to socket, {name}, p95 (ms)": _ms(report.lags, 95),
            f"lines lost or doubled, {name}": report.wrong,
        }
    return figures


def _store(logs: ChunkedLogs, stream: str, secrets: list[str]) -> None:
    writer = logs.writer(stream, secrets)
    for text in TEXTS:
        writer.write(text, stream="stdout", step="install")
    writer.close()


def _raw_insert(path: Path, lines_a_row: int = 1) -> None:
    """The same bytes into a bare table, with the same promise for the same number of lines."""
    raw = sqlite3.connect(path, isolation_level=None)
    raw.executescript(
        "pragma journal_mode=wal; pragma synchronous=normal; create table line (seq integer primary key, text)"
    )
    for start in range(0, LINES, CHUNK):
        texts = TEXTS[start : start + CHUNK]
        rows = [(text,) for text in texts] if lines_a_row == 1 else [("\n".join(texts),)]
        raw.execute("begin immediate")
        raw.executemany("insert into line (text) values (?)", rows)
        raw.execute("commit")
    raw.close()


def _write_paced(logs: ChunkedLogs, stream: str) -> None:
    """A thousand lines a second, each with the time of its writing."""
    writer = logs.writer(stream)
    pause = threading.Event()
    for n in range(TIMED_LINES):
        writer.write(f"{time.time():.5f} {TEXTS[n]}")
        if n % 10 == 9:
            pause.wait(0.01)
    writer.close()


def _raw_echo(rounds: int = 1000) -> list[float]:
    """There and back over a bare loopback connection: what the machine alone takes now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_answer, args=(listener,), daemon=True).start()
        with socket.create_connection(listener.getsockname()) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            taken = []
            for _ in range(rounds):
                started = time.perf_counter()
                client.sendall(b"x" * 110)
                client.recv(4096)
                taken.append(time.perf_counter() - started)
            return taken


def _answer(listener: socket.socket) -> None:
    peer, _ = listener.accept()
    with peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := peer.recv(4096):
            peer.sendall(data)


def _timed(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _size(folder: Path, name: str) -> int:
    with sqlite3.connect(folder / f"{name}.db") as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    return (folder / f"{name}.db").stat().st_size


def _ms(seconds: list[float], percent: int) -> float:
    return round(quantiles(seconds, n=100)[percent - 1] * 1000, 2)


if __name__ == "__main__":
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for title, value in run().items():
        print(f"{title:55} {value:>12,}")
