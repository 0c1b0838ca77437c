"""Hub and tailer under the real servers: nothing lost, nothing doubled, nobody held up."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import websocket

from tests.web.hub_server import Server
from tests.web.socket_client import masked_frame, parse_frame, watch

LINES = 20_000


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(kind: str = "gunicorn", *options: str, ping: float = 25, pace: float | None = None) -> Server:
        servers.append(Server(kind, tmp_path, *options, ping=ping, pace=pace))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The usual server, for tests that leave it as they found it."""
    running = Server("gunicorn", tmp_path_factory.mktemp("shared"))
    yield running
    running.stop()


def eventually(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)


def write(server: Server, stream: str, count: int, text: str = "", gap: float = 0.0) -> None:
    """Write lines that carry their time; with a gap, a hundred at a time."""
    writer = server.logs.writer(stream)
    paced = threading.Event()
    for n in range(count):
        writer.write(f"{time.time():.4f} line {n} {text}")
        if gap and n % 100 == 99:
            paced.wait(gap)
    writer.close()


def sequence(messages: list[str]) -> list[int]:
    return [line[0] for message in messages for line in json.loads(message)["lines"]]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "viewers"), [("gunicorn", 300), ("werkzeug", 300)])
def test_a_crowd_that_is_cut_off_again_and_again_misses_nothing(
    serve: Callable[..., Server], kind: str, viewers: int
) -> None:
    server = serve(kind)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write, server, "crowd", LINES, gap=0.02)
        report = asyncio.run(watch(server.port, "/lines/crowd", viewers, LINES, cuts=6))
        writing.result()
    assert report.finished == viewers
    assert report.wrong == 0
    assert report.reconnects >= 2 * viewers, "who was done early was cut less often"
    assert len(report.lags) == 3 * LINES
    eventually(lambda: server.stats()["sockets"] == 0)
    assert "Traceback" not in server.said()


def test_workers_forked_from_a_loaded_app_serve_alike(serve: Callable[..., Server]) -> None:
    server = serve("gunicorn", "--preload", "--workers", "2")
    report = asyncio.run(
        watch(server.port, "/lines/forked", 30, 3000, cuts=2, ready=lambda: write(server, "forked", 3000, gap=0.02))
    )
    assert (report.finished, report.wrong) == (30, 0)
    assert "Traceback" not in server.said()


def test_joining_late_gives_everything(server: Server) -> None:
    write(server, "late", 5000)
    report = asyncio.run(watch(server.port, "/lines/late", 5, 5000))
    assert (report.finished, report.wrong, report.lines) == (5, 0, 25_000)


def test_a_viewer_that_never_reads_holds_up_nobody(serve: Callable[..., Server]) -> None:
    server = serve(ping=0.5)
    stuck = server.raw("/lines/stuck?owner=stuck", receive_buffer=4096)
    eventually(lambda: server.stats()["sockets"] == 1)
    report = asyncio.run(
        watch(server.port, "/lines/stuck", 20, LINES, ready=lambda: write(server, "stuck", LINES, "x" * 200))
    )
    assert (report.finished, report.wrong) == (20, 0)
    eventually(lambda: server.stats()["sockets"] == 0)
    stuck.close()


def test_a_slow_reader_gets_every_line(server: Server) -> None:
    raw = server.raw("/lines/slow?owner=slow", receive_buffer=8192)
    write(server, "slow", 8000, "x" * 300)
    data, seen, used = bytearray(), 0, 0
    while not data.endswith(b"\r\n\r\n"):
        data += raw.recv(1)
    data.clear()
    while seen < 8000:
        data += raw.recv(3000)
        while frame := parse_frame(data, used):
            kind, start, used = frame
            if kind == 1:
                numbers = sequence([data[start:used].decode()])
                assert numbers == list(range(seen + 1, seen + 1 + len(numbers)))
                seen = numbers[-1]
        del data[:used]
        used = 0
    assert seen == 8000
    raw.close()


def test_pages_answer_while_many_sockets_are_open(server: Server) -> None:
    before = server.stats()["threads"]
    opened = [server.open(f"/lines/open?owner={n}") for n in range(200)]
    eventually(lambda: server.stats()["sockets"] == 200)
    started = time.monotonic()
    for _ in range(50):
        assert requests.get(server.url("/hello"), timeout=60).text == "hello"
    assert time.monotonic() - started < 20, "with flask-sock's own threads this would never end"
    assert server.stats()["threads"] <= before + 10, "eight request threads, the hub and the tailer"
    for ws in opened:
        ws.close()
    eventually(lambda: server.stats()["sockets"] == 0)


def test_a_stop_closes_all_sockets_quickly(serve: Callable[..., Server]) -> None:
    usual = serve().stop()
    server = serve()
    opened = [server.open(f"/lines/open?owner={n}") for n in range(100)]
    eventually(lambda: server.stats()["sockets"] == 100)
    codes: list[int] = []

    def read_close(ws: websocket.WebSocket) -> None:
        kind, data = ws.recv_data()
        assert kind == websocket.ABNF.OPCODE_CLOSE
        codes.append(struct.unpack("!H", data[:2])[0])

    threads = [threading.Thread(target=read_close, args=(ws,)) for ws in opened]
    for thread in threads:
        thread.start()
    assert server.stop() < usual + 2
    for thread in threads:
        thread.join(60)
    assert codes == [1001] * 100


def test_a_stop_does_not_wait_for_viewers_that_do_not_answer(serve: Callable[..., Server]) -> None:
    usual = serve().stop()
    server = serve()
    silent = [server.raw(f"/lines/open?owner={n}") for n in range(20)]
    eventually(lambda: server.stats()["sockets"] == 20)
    assert server.stop() < usual + 3
    for raw in silent:
        raw.close()


def test_a_request_under_way_is_finished_even_after_many_sockets(serve: Callable[..., Server]) -> None:
    """gunicorn counts connections; a socket taken from it must not count twice when it is gone."""
    server = serve()
    for n in range(30):
        server.open(f"/lines/open?owner={n}").close()
    eventually(lambda: server.stats()["sockets"] == 0)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(requests.get, server.url("/slow"), timeout=60)
        eventually((server.folder / "slow").exists)
        server.process.send_signal(signal.SIGTERM)
        assert answer.result().text == "finished"
    server.process.wait(60)


def test_a_peer_that_does_not_answer_pings_is_dropped(serve: Callable[..., Server]) -> None:
    server = serve(ping=0.3)
    dead, alive = server.raw("/lines/ping?owner=dead"), server.raw("/lines/ping?owner=alive")
    eventually(lambda: server.stats()["sockets"] == 2)
    data, pings, used = bytearray(), 0, 0
    while b"\r\n\r\n" not in data:
        data += alive.recv(4096)
    del data[: data.index(b"\r\n\r\n") + 4]
    while pings < 5:
        while frame := parse_frame(data, used):
            used = frame[2]
            assert frame[0] == 9
            pings += 1
            alive.sendall(masked_frame(10, b""))
        if pings < 5:
            data += alive.recv(4096)
    assert server.stats()["sockets"] == 1
    received = b""
    while piece := dead.recv(4096):
        received += piece
    assert received.endswith(b"\x89\x00"), "a ping was the last it was sent"
    alive.close()


def test_without_viewers_nobody_looks(server: Server) -> None:
    (server.folder / "idle.json").write_text(json.dumps({"version": 1, "messages": ["{}"]}))
    ws = server.open("/follow/idle?owner=1")
    eventually(lambda: server.stats()["rounds"] > 3 and server.stats()["looks"] > 3)
    ws.close()
    eventually(lambda: server.stats()["sockets"] == 0)

    def still() -> bool:
        before = server.stats()
        threading.Event().wait(0.3)  # more than ten rounds
        after = server.stats()
        return (before["rounds"], before["looks"]) == (after["rounds"], after["looks"])

    eventually(still)


def test_a_wake_shortens_the_wait(serve: Callable[..., Server]) -> None:
    server = serve(pace=60)
    ws = server.open("/lines/wake?owner=1")
    eventually(lambda: server.stats()["rounds"] >= 1)
    write(server, "wake", 3)
    requests.post(server.url("/wake/other"), timeout=60)
    assert requests.post(server.url("/wake/wake"), timeout=60).text == "woken"
    assert sequence([str(ws.recv())]) == [1, 2, 3]
    ws.close()


def test_many_viewers_of_one_state_cost_one_look(serve: Callable[..., Server]) -> None:
    server = serve(pace=0.2)
    state = server.folder / "shared.json"
    state.write_text(json.dumps({"version": 1, "messages": ["one"]}))
    opened = [server.open(f"/states/shared?owner={n}") for n in range(50)]
    assert [ws.recv() for ws in opened] == ["one"] * 50
    before = server.stats()
    replace(state, {"version": 2, "messages": ["two", "more"]})
    for ws in opened:
        assert (ws.recv(), ws.recv()) == ("two", "more")
    after = server.stats()
    assert after["looks"] - before["looks"] <= after["rounds"] - before["rounds"] + 1
    replace(state, {"version": 3, "messages": ["last"], "final": True})
    for ws in opened:
        assert ws.recv() == "last"
        kind, data = ws.recv_data()
        assert (kind, struct.unpack("!H", data[:2])[0]) == (8, 1000)


def test_a_watch_that_fails_is_asked_again(server: Server) -> None:
    ws = server.open("/follow/missing?owner=1")
    write(server, "missing", 2)
    assert [json.loads(ws.recv())["line"] for _ in range(2)] == [1, 2], "lines flow all the same"
    replace(server.folder / "missing.json", {"version": 1, "messages": ["here now"]})
    assert ws.recv() == "here now"
    ws.close()


def test_the_last_line_comes_before_the_last_word(server: Server) -> None:
    state = server.folder / "end.json"
    replace(state, {"version": "building", "messages": ["building"]})
    ws = server.open("/follow/end?owner=1")
    assert ws.recv() == "building"
    write(server, "end", 3000)
    replace(state, {"version": "success", "messages": ["success", "complete"], "final": True})
    for one in (ws, None):
        one = one or server.open("/follow/end?owner=2")  # somebody who comes when all is over
        got = [one.recv() for _ in range(3002)]
        assert [json.loads(message)["line"] for message in got[:3000]] == list(range(1, 3001))
        assert got[3000:] == ["success", "complete"]
        kind, data = one.recv_data()
        assert (kind, struct.unpack("!H", data[:2])[0]) == (8, 1000)
    eventually(lambda: server.stats()["sockets"] == 0)


def test_a_store_that_is_away_for_a_while_only_delays(serve: Callable[..., Server]) -> None:
    server = serve()
    write(server, "away", 5)
    ws = server.open("/lines/away?owner=1")
    assert sequence([str(ws.recv())]) == [1, 2, 3, 4, 5]
    blocker = server.folder / "logs.db"
    before = blocker.read_bytes()[:16]
    with blocker.open("r+b") as file:
        file.write(b"not a database!!")
        file.flush()
        os.fsync(file.fileno())
        late = server.open("/lines/away?owner=2")
        eventually(lambda: server.stats()["sockets"] == 2)
        file.seek(0)
        file.write(before)
    write(server, "away", 5)
    seen: list[int] = []
    while len(seen) < 10:
        seen += sequence([str(late.recv())])
    assert seen == list(range(1, 11))
    assert sequence([str(ws.recv())]) == [6, 7, 8, 9, 10]
    ws.close()
    late.close()


def replace(path: Path, state: dict[str, object]) -> None:
    """Change a state at once, so that no look sees half of it."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(state))
    draft.rename(path)


def test_a_connection_that_vanishes_during_the_handshake_leaves_nothing(server: Server) -> None:
    for n in range(50):
        raw = server.raw(f"/lines/gone?owner={n}")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()  # with a reset
    server.open("/lines/gone?owner=last").close()
    eventually(lambda: server.stats()["sockets"] == 0)
