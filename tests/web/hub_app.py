"""A small app with sockets, for tests and the bench; run by gunicorn, or by `python -m tests.web.hub_app <port>`.

Its log store is `HUB_APP_FOLDER/logs.db`; the states it shows are the JSON files beside it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from flask import Blueprint, Flask, request
from werkzeug.serving import make_server

from devflow.adapters.logs import SqliteLogs
from devflow.core.errors import Conflict, Forbidden, NotFound, Unauthenticated, Unavailable
from devflow.ports.logs import Line
from devflow.web.hub import Hub
from devflow.web.sockets import init_sockets, route, sockets, start_reader, stream
from devflow.web.tailer import PACE, State, Subscription, Watch

FOLDER = Path(os.environ["HUB_APP_FOLDER"])
ERRORS = {one.__name__: one for one in (Conflict, Forbidden, NotFound, Unauthenticated, Unavailable)}
doors = Blueprint("doors", __name__)
looks = 0


def batch(lines: Sequence[Line]) -> list[str]:
    """All lines in one message, as our own page wants them."""
    columns = [[line.seq, line.at, line.level, line.stream, line.step, line.message] for line in lines]
    return [orjson.dumps({"type": "lines", "from": lines[0].seq, "to": lines[-1].seq, "lines": columns}).decode()]


@dataclass(frozen=True)
class OneByOne:
    """A message for each line, as the public contract wants them."""

    started: int

    def __call__(self, lines: Sequence[Line]) -> list[str]:
        return [
            orjson.dumps(
                {"type": "log", "line": line.seq, "message": f"[{(line.at - self.started) // 1000:02}] {line.message}"}
            ).decode()
            for line in lines
        ]


def look(name: str) -> State:
    """The state a test has written down last."""
    global looks
    looks += 1
    found: dict[str, Any] = orjson.loads((FOLDER / f"{name}.json").read_bytes())
    return State(found["version"], tuple(found["messages"]), found.get("final", False))


@route(doors, "/lines/<name>")
def lines(ws: Any, name: str) -> None:
    subscription = Subscription(name, batch, request.args.get("since", 0, int))
    stream(ws, subscription, owner=request.args.get("owner", ""), guard=None)


@route(doors, "/follow/<name>")
def follow(ws: Any, name: str) -> None:
    render = OneByOne(request.args.get("started", 0, int))
    subscription = Subscription(name, render, watch=Watch(("state", name), partial(look, name)))
    stream(ws, subscription, owner=request.args.get("owner", ""), guard=None, on_subscribe="wait" in request.args)


@route(doors, "/states/<name>")
def states(ws: Any, name: str) -> None:
    stream(
        ws, Subscription("", watch=Watch(("state", name), partial(look, name))), owner=request.args["owner"], guard=None
    )


@route(doors, "/refused/<kind>")
def refused(ws: Any, kind: str) -> None:
    raise ERRORS[kind]("This is why, and this is what to do. " * 10)


@route(doors, "/broken")
def broken(ws: Any) -> None:
    raise RuntimeError("a mistake")


@route(doors, "/echo")
def echo(ws: Any) -> None:
    with sockets().seats.taken("echo"):
        start_reader(ws)
        while True:
            ws.send(ws.receive())


@doors.get("/hello")
def hello() -> str:
    return "hello"


@doors.get("/slow")
def slow() -> str:
    (FOLDER / "slow").touch()
    time.sleep(1.0)  # a request that takes its time
    return "finished"


@doors.get("/stats")
def stats() -> dict[str, int]:
    return {
        "sockets": sockets().count,
        "threads": threading.active_count(),
        "rounds": sockets().rounds,
        "looks": looks,
    }


@doors.post("/wake/<name>")
def wake(name: str) -> str:
    sockets().wake(name)
    return "woken"


def make() -> Flask:
    made = Flask(__name__)
    init_sockets(
        made,
        SqliteLogs(FOLDER / "logs.db"),
        partial(Hub, float(os.environ.get("HUB_APP_PING", "25"))),
        float(os.environ.get("HUB_APP_PACE", PACE)),
    )
    made.register_blueprint(doors)
    return made


app = make()

if __name__ == "__main__":
    make_server("127.0.0.1", int(sys.argv[1]), app, threaded=True).serve_forever()
