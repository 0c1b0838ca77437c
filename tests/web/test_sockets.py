"""The doors for sockets: refusals, seats, messages, and what flask-sock still does by itself."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator

import pytest
import websocket

from devflow.core.errors import TooMany
from devflow.web.frames import close_frame, text_frame
from devflow.web.sockets import Seats
from tests.web.hub_server import Server
from tests.web.socket_client import parse_frame


@pytest.fixture(scope="module", params=["gunicorn", "werkzeug"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(request.param, tmp_path_factory.mktemp(request.param))
    yield running
    running.stop()


def eventually(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)


def closing(ws: websocket.WebSocket) -> tuple[int, str]:
    kind, data = ws.recv_data()
    assert kind == websocket.ABNF.OPCODE_CLOSE, data
    return struct.unpack("!H", data[:2])[0], data[2:].decode()


def write(server: Server, stream: str, *messages: str) -> None:
    writer = server.logs.writer(stream)
    for message in messages:
        writer.write(message)
    writer.close()


@pytest.mark.parametrize(
    ("kind", "code"),
    [("Unauthenticated", 4401), ("Forbidden", 4403), ("NotFound", 4404), ("Conflict", 4409), ("Unavailable", 1013)],
)
def test_an_error_closes_with_its_code_and_sentence(server: Server, kind: str, code: int) -> None:
    got, reason = closing(server.open(f"/refused/{kind}"))
    assert got == code
    assert reason.startswith("This is why")
    assert len(reason.encode()) <= 123


def test_a_page_of_another_origin_is_refused_unless_it_sends_a_token(server: Server) -> None:
    url, stranger = f"ws://127.0.0.1:{server.port}/lines/strange?owner=fay", "http://hello.localhost:8080"
    got, reason = closing(websocket.create_connection(url, timeout=60, origin=stranger))
    assert got == 4403 and "own pages" in reason
    write(server, "strange", "hello")
    ws = websocket.create_connection(f"{url}&token=abc", timeout=60, origin=stranger)
    assert json.loads(ws.recv())["lines"][0][5] == "hello"
    ws.close()


def test_a_mistake_of_ours_closes_with_1011(server: Server) -> None:
    code, reason = closing(server.open("/broken"))
    assert (code, "a mistake" in reason) == (1011, False)
    assert "RuntimeError: a mistake" in server.said()


def test_the_eleventh_socket_of_a_user_is_refused(server: Server) -> None:
    opened = [server.open("/lines/seats?owner=ann") for _ in range(10)]
    eventually(lambda: server.stats()["sockets"] == 10)
    code, reason = closing(server.open("/lines/seats?owner=ann"))
    assert (code, "10 live connections" in reason) == (4429, True)
    other = server.open("/lines/seats?owner=bob")
    opened.pop().close()
    eventually(lambda: server.stats()["sockets"] == 10)
    again = server.open("/lines/seats?owner=ann")
    write(server, "seats", "hello")
    for ws in [*opened, other, again]:
        assert json.loads(ws.recv())["lines"][0][5] == "hello"
        ws.close()
    eventually(lambda: server.stats()["sockets"] == 0)


def test_lines_flow_after_subscribe_and_ping_is_answered(server: Server) -> None:
    write(server, "wait", "one", "two", "three")
    (server.folder / "wait.json").write_text(json.dumps({"version": 1, "messages": ['{"type":"status_update"}']}))
    ws = server.open("/follow/wait?wait&owner=cat")
    ws.send('{"type": "ping"}')
    pong = json.loads(ws.recv())
    assert pong["type"] == "pong" and pong["timestamp"].endswith("Z")
    for bad in ("no json", "[1]", '{"no": "type"}', '{"type": "dance"}'):
        ws.send(bad)
        assert json.loads(ws.recv())["type"] == "error"
    ws.send('{"type": "subscribe", "deploymentId": "x", "since": 1}')
    got = [json.loads(ws.recv()) for _ in range(3)]
    assert [one["type"] for one in got] == ["log", "log", "status_update"]
    assert [one.get("line") for one in got] == [2, 3, None]
    ws.send('{"type": "subscribe"}')
    ws.send('{"type": "ping"}')
    assert json.loads(ws.recv())["type"] == "pong", "a second subscribe repeats nothing"
    ws.close()


def test_a_render_with_values_tells_viewers_apart(server: Server) -> None:
    write(server, "render", "hello")
    (server.folder / "render.json").write_text(json.dumps({"version": 1, "messages": []}))
    (line,) = server.logs.read("render")
    texts = []
    for seconds in (15, 3, 15):
        ws = server.open(f"/follow/render?owner=dan&started={line.at - seconds * 1000}")
        texts.append(json.loads(ws.recv())["message"])
        ws.close()
    assert texts == ["[15] hello", "[03] hello", "[15] hello"]


def test_messages_in_pieces_are_put_together(server: Server) -> None:
    ws = server.open("/lines/pieces?owner=eve")
    ws.send_frame(websocket.ABNF.create_frame('{"type": ', websocket.ABNF.OPCODE_TEXT, 0))
    ws.send_frame(websocket.ABNF.create_frame('"ping"}', websocket.ABNF.OPCODE_CONT, 1))
    assert json.loads(ws.recv())["type"] == "pong"
    ws.close()


def test_what_is_not_text_or_too_big_is_refused(server: Server) -> None:
    ws = server.open("/lines/bad?owner=fay")
    ws.send_binary(b"\x00\x01")
    assert closing(ws)[0] == 1003
    ws = server.open("/lines/bad?owner=fay")
    ws.send("x" * 70_000)
    assert closing(ws)[0] == 1009
    eventually(lambda: server.stats()["sockets"] == 0)


def test_a_goodbye_is_answered(server: Server) -> None:
    ws = server.open("/lines/bye?owner=gus")
    ws.send_close(1000, b"enough")
    assert closing(ws) == (1000, "enough")
    eventually(lambda: server.stats()["sockets"] == 0)


def test_compression_is_never_agreed_on(server: Server) -> None:
    raw = server.raw(
        "/lines/plain?owner=hal", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += raw.recv(4096)
    assert answer.startswith(b"HTTP/1.1 101")
    assert b"permessage-deflate" not in answer
    raw.close()


def test_a_handler_may_keep_its_socket_to_itself(server: Server) -> None:
    ws = server.open("/echo")
    for text in ("a", "b" * 5000):
        ws.send(text)
        assert ws.recv() == text
    assert server.stats()["sockets"] == 1
    ws.close()
    eventually(lambda: server.stats()["sockets"] == 0)


def test_a_plain_request_to_a_socket_is_no_socket(server: Server) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException, match="404"):
        server.open("/nowhere")


def test_seats_are_counted_by_owner() -> None:
    seats = Seats(2)
    seats.take("a")
    with seats.taken("a"):
        with pytest.raises(TooMany) as refusal:
            seats.take("a")
        seats.take("b")
        assert seats.count == 3
    seats.take("a")
    assert refusal.value.retry_after == 10
    seats.leave("a")
    seats.leave("a")
    seats.leave("b")
    assert seats.count == 0


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_frames_say_how_long_they_are(size: int) -> None:
    frame = text_frame("x" * size)
    parsed = parse_frame(frame, 0)
    assert parsed is not None
    kind, start, end = parsed
    assert (kind, end) == (1, len(frame))
    assert frame[start:end] == b"x" * size


def test_a_long_reason_is_cut_between_characters() -> None:
    frame = close_frame(4404, "ü" * 100)
    assert len(frame) <= 127
    assert frame[4:].decode() == "ü" * 61
