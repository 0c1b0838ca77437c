"""Bodies that are too large or that nobody wants, over a real socket: the answer arrives, and in the envelope."""

from __future__ import annotations

import http.client
import json
import logging
import threading
from collections.abc import Iterator

import pytest
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

BIG = b'{"name": "' + b"x" * 10_000_000 + b'"}'
JSON = {"Content-Type": "application/json"}


class _Handler(WSGIRequestHandler):
    """Speaks HTTP/1.1, as gunicorn does."""

    protocol_version = "HTTP/1.1"


@pytest.fixture
def wire(app: Flask) -> Iterator[http.client.HTTPConnection]:
    """A connection to the app behind a real socket."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    yield connection
    connection.close()
    server.shutdown()
    thread.join(10)


def _asked(wire: http.client.HTTPConnection, path: str, *, chunked: bool = False) -> tuple[int, str]:
    pieces = (BIG[n : n + 65_536] for n in range(0, len(BIG), 65_536))
    headers = {**JSON, "Transfer-Encoding": "chunked"} if chunked else JSON
    wire.request("POST", path, body=pieces if chunked else BIG, headers=headers, encode_chunked=chunked)
    answer = wire.getresponse()
    return answer.status, json.loads(answer.read())["error"]["code"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_hears_so(wire: http.client.HTTPConnection, chunked: bool) -> None:
    assert _asked(wire, "/api/v1/auth/login", chunked=chunked) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize(
    ("path", "expected"), [("/api/v1/projects", (401, "UNAUTHORIZED")), ("/api/v1/nothing", (404, "NOT_FOUND"))]
)
def test_a_body_that_nobody_reads_does_not_cut_the_answer(
    wire: http.client.HTTPConnection, path: str, expected: tuple[int, str]
) -> None:
    assert _asked(wire, path) == expected
    wire.request("GET", "/api/v1/info")
    assert wire.getresponse().status == 200, "the connection goes on"
