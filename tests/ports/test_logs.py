"""The contract of `devflow.ports.logs`, kept by both real stores, and what is special about each."""

from __future__ import annotations

import base64
import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from devflow.adapters.logs import ChunkedLogs, SqliteLogs
from devflow.adapters.logs import writer as writing
from devflow.adapters.logs.masking import Mask
from devflow.adapters.logs.postgres import PostgresLogs
from devflow.adapters.logs.render import CHUNK_LINES
from devflow.core.errors import Unavailable
from devflow.ports.logs import Line, Logs
from tests.postgres_fixture import postgres_url

__all__ = ["postgres_url"]


@pytest.fixture(params=["sqlite", "postgres"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], ChunkedLogs]]:
    """Opens the same store as often as one likes, as several processes would."""
    opened: list[ChunkedLogs] = []
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else ""

    def open_one() -> ChunkedLogs:
        opened.append(PostgresLogs(url) if url else SqliteLogs(tmp_path / "logs.db"))
        return opened[-1]

    yield open_one
    for stream in opened[0].streams() if opened else ():
        opened[0].delete(stream)
    for store in opened:
        store.close()


@pytest.fixture
def logs(open_store: Callable[[], ChunkedLogs]) -> ChunkedLogs:
    return open_store()


def eventually(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.005)


def messages(logs: Logs, stream: str) -> list[str]:
    return [line.message for line in logs.read(stream, limit=1_000_000)]


def fill(logs: Logs, stream: str, count: int) -> None:
    writer = logs.writer(stream)
    for n in range(1, count + 1):
        writer.write(f"line {n}")
    writer.close()


def test_a_line_comes_back_as_it_was_written(logs: ChunkedLogs) -> None:
    before = time.time_ns() // 1_000_000
    writer = logs.writer("build:1")
    writer.write("\x1b[32mok\x1b[0m\tüber 🚀", level="success", stream="stdout", step="install")
    writer.close()
    (line,) = logs.read("build:1")
    assert (line.seq, line.level, line.stream, line.step) == (1, "success", "stdout", "install")
    assert line.message == "\x1b[32mok\x1b[0m\tüber 🚀"
    assert before <= line.at <= time.time_ns() // 1_000_000


def test_lines_are_stored_by_themselves_soon(logs: ChunkedLogs) -> None:
    writer = logs.writer("soon")
    writer.write("first")
    eventually(lambda: logs.last_seq("soon") == 1)
    writer.write("second")
    eventually(lambda: logs.last_seq("soon") == 2)


def test_many_writers_share_one_thread(logs: ChunkedLogs) -> None:
    before = threading.active_count()
    writers = [logs.writer(f"many:{n}") for n in range(20)]
    for writer in writers:
        writer.write("one")
    assert threading.active_count() <= before + 1
    eventually(lambda: len(logs.streams()) == 20)


def test_text_with_line_ends_becomes_lines(logs: ChunkedLogs) -> None:
    writer = logs.writer("lines")
    writer.write("a\nb\r\n\nlast\n")
    writer.write("")
    writer.close()
    assert messages(logs, "lines") == ["a", "b", "", "last", ""]


def test_reading_by_range_loses_and_repeats_nothing(logs: ChunkedLogs) -> None:
    fill(logs, "range", 2345)
    assert logs.last_seq("range") == 2345
    seen: list[Line] = []
    while page := logs.read("range", len(seen), 333):
        assert len(page) <= 333
        seen += page
    assert [line.seq for line in seen] == list(range(1, 2346))
    assert [line.message for line in seen] == [f"line {n}" for n in range(1, 2346)]


@pytest.mark.parametrize("since", [0, 1, 499, 500, 501, 777, 2344, 2345, 9999])
def test_chunks_start_right_after_since(logs: ChunkedLogs, since: int) -> None:
    fill(logs, "chunks", 2345)
    seq = since
    while chunks := logs.chunks("chunks", seq):
        for chunk in chunks:
            assert chunk.first == seq + 1 == chunk.lines[0].seq
            assert chunk.last == chunk.lines[-1].seq == seq + len(chunk.lines)
            assert len(chunk.lines) <= CHUNK_LINES
            seq = chunk.last
    assert seq == max(since, 2345)


def test_small_neighbours_come_as_one_chunk(logs: ChunkedLogs) -> None:
    writer = logs.writer("small")
    for n in range(40):
        writer.write(f"{n}")
        writer.flush()
    (chunk,) = logs.chunks("small", 3)
    assert (chunk.first, chunk.last) == (4, 40)


def test_tail_gives_the_last_lines(logs: ChunkedLogs) -> None:
    assert logs.tail("tail", 10) == ()
    fill(logs, "tail", 1200)
    assert [line.seq for line in logs.tail("tail", 3)] == [1198, 1199, 1200]
    assert len(logs.tail("tail", 5000)) == 1200


def test_an_unknown_stream_is_empty(logs: ChunkedLogs) -> None:
    assert logs.read("nothing") == ()
    assert logs.chunks("nothing", 0) == ()
    assert logs.last_seq("nothing") == 0


def test_delete_forgets_one_stream_alone(logs: ChunkedLogs) -> None:
    fill(logs, "old", 120_000)
    fill(logs, "new", 3)
    logs.delete("old")
    assert logs.streams() == ("new",)
    assert logs.read("old") == ()
    assert messages(logs, "new") == ["line 1", "line 2", "line 3"]


def test_streams_are_listed_in_order(logs: ChunkedLogs) -> None:
    assert logs.streams() == ()
    for name in ("b:2", "a:1", "B:3"):
        fill(logs, name, 2)
    assert logs.streams() == ("B:3", "a:1", "b:2")


def test_a_second_writer_goes_on_after_the_last_line(open_store: Callable[[], ChunkedLogs]) -> None:
    fill(open_store(), "again", 7)
    second = open_store().writer("again")
    second.write("line 8")
    second.close()
    assert messages(open_store(), "again") == [f"line {n}" for n in range(1, 9)]


def test_two_writers_at_once_neither_lose_nor_overwrite(open_store: Callable[[], ChunkedLogs]) -> None:
    stores = [open_store() for _ in range(4)]

    def write(name: int) -> None:
        writer = stores[name].writer("both")
        for n in range(600):
            writer.write(f"{name}:{n}")
            if n % 20 == 0:
                writer.flush()
        writer.close()

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = stores[0].read("both", limit=10_000)
    assert [line.seq for line in lines] == list(range(1, 2401))
    for name in range(4):
        own = [line.message for line in lines if line.message.startswith(f"{name}:")]
        assert own == [f"{name}:{n}" for n in range(600)]


def test_one_writer_may_be_used_by_several_threads(logs: ChunkedLogs) -> None:
    writer = logs.writer("threads")

    def write() -> None:
        for _ in range(2000):
            writer.write(f"{threading.get_ident()}")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert logs.last_seq("threads") == 8000
    assert len(messages(logs, "threads")) == 8000


def _write_in_child(store: ChunkedLogs) -> None:
    fill(store, "forked", 10)


def test_a_store_opened_before_a_fork_works_on_both_sides(logs: ChunkedLogs) -> None:
    fill(logs, "forked", 5)
    child = multiprocessing.get_context("fork").Process(target=_write_in_child, args=(logs,))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    fill(logs, "forked", 5)
    assert logs.last_seq("forked") == 20


_ENDS_AT_ONCE = """
import sys
from pathlib import Path
from devflow.adapters.logs import SqliteLogs
writer = SqliteLogs(Path(sys.argv[1])).writer("ends")
for n in range(700):
    writer.write(f"line {n}")
"""


def test_a_process_that_ends_without_closing_still_stores_its_lines(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _ENDS_AT_ONCE, str(tmp_path / "logs.db")], check=True, timeout=60)
    logs = SqliteLogs(tmp_path / "logs.db")
    assert messages(logs, "ends") == [f"line {n}" for n in range(700)]
    logs.close()


def test_secrets_never_reach_the_store(logs: ChunkedLogs) -> None:
    secret = "s3cr3t/with space+&ü"
    pem = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nab\n-----END KEY-----"
    writer = logs.writer("masked", [secret, pem, "abc", ""])
    writer.write(f"plain {secret} twice {secret}")
    writer.write(f"url {quote(secret, safe='')} {quote(secret).lower()}")
    for before in ("", "x", "xy"):
        writer.write(base64.b64encode(f"{before}{secret}{before}".encode()).decode())
    writer.write("MIIEvQIBADANBg\nab abc")
    writer.write(f"in\x00side {secret[:4]}\x00{secret[4:]}")
    writer.close()
    text = messages(logs, "masked")
    assert text[0] == "plain *** twice ***"
    assert text[1] == "url *** ***"
    assert text[5:7] == ["***", "ab abc"]
    assert text[7] == "inside ***"
    core = base64.b64encode(secret.encode()).decode()[4:-6]
    for line in text[2:5]:
        assert "***" in line and core not in line
        assert secret.encode() not in base64.b64decode(line.replace("***", "") + "==", validate=False)


def test_a_closed_writer_refuses_lines(logs: ChunkedLogs) -> None:
    writer = logs.writer("closed")
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write("late")


def test_a_full_buffer_waits_for_the_store(logs: ChunkedLogs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "BUFFER_LINES", 1000)
    fill(logs, "pressed", 20_000)
    assert logs.last_seq("pressed") == 20_000


class Failing:
    """A store that fails on demand, before or after it has stored a chunk."""

    def __init__(self, store: ChunkedLogs) -> None:
        self.store, self.fail_before, self.fail_after = store, 0, 0

    def append(self, stream: str, count: int, data: bytes) -> int:
        if self.fail_before:
            self.fail_before -= 1
            raise Unavailable("away")
        last = self.store.append(stream, count, data)
        if self.fail_after:
            self.fail_after -= 1
            raise Unavailable("the answer was lost")
        return last

    def holds(self, stream: str, since: int, data: bytes) -> bool:
        return self.store.holds(stream, since, data)


def test_a_chunk_whose_answer_was_lost_is_not_stored_twice(logs: ChunkedLogs) -> None:
    failing = Failing(logs)
    writer = writing.ChunkWriter("lost", Mask(()), failing, writing.Flusher())
    writer.write("kept before")
    writer.flush()
    failing.fail_before, failing.fail_after = 2, 2
    for n in range(1200):
        writer.write(f"line {n}")
    writer.close()
    assert (failing.fail_before, failing.fail_after) == (0, 0)
    assert messages(logs, "lost") == ["kept before", *(f"line {n}" for n in range(1200))]


def test_a_store_that_stays_away_is_reported_at_write(logs: ChunkedLogs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "BUFFER_LINES", 10)
    failing = Failing(logs)
    failing.fail_before = 1_000_000
    writer = writing.ChunkWriter("away", Mask(()), failing, writing.Flusher(), patience=0.3)
    with pytest.raises(Unavailable, match="could not be kept"):
        for n in range(11):
            writer.write(f"line {n}")
    with pytest.raises(Unavailable):
        writer.close()
    failing.fail_before = 0
    writer.close()
    assert messages(logs, "away") == [f"line {n}" for n in range(10)]
