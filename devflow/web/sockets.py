"""The doors for WebSockets: the handshake is flask-sock's, then the hub owns the socket and the tailer feeds it.

A feature's `sockets.py` looks like this:

    @route(blueprint, "/deployments/<deployment_id>/logs/stream")
    def log_stream(ws, deployment_id):
        actor = …                                       # sign-in; raise Unauthenticated, Forbidden, NotFound
        watch = Watch(("deployment", deployment_id), lambda: state_of(deployment_id))
        guard = again(lambda who: finding.show(who, deployment_id))   # asked whenever rights change: identity.again
        subscription = Subscription(f"deployment:{deployment_id}", render, since, watch)
        stream(ws, subscription, owner=f"user:{actor.id}", guard=guard)

An error raised in a socket's handler closes the socket with the code of its kind (4401, 4403 …) and its sentence.
Handlers that talk for themselves (a terminal) call `start_reader(ws)` and use flask-sock's `receive` and `send`; each
of them holds a request thread and a reader thread, so they must be few: `sockets().seats` counts them as well.
TLS ends at the edge: a socket that gunicorn itself encrypts cannot be adopted.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import orjson
from flask import Blueprint, Flask, current_app, request
from flask_sock import Sock
from simple_websocket import ConnectionClosed

from devflow.core.clock import iso, now
from devflow.core.errors import Conflict, DomainError, Forbidden, NotFound, TooMany, Unauthenticated, Unavailable
from devflow.ports.logs import Logs
from devflow.web.frames import short_reason
from devflow.web.guards import Guard, Guards
from devflow.web.hub import FAILED, Connection, Hub
from devflow.web.identity import by_cookie
from devflow.web.tailer import PACE, Subscription, Tailer

log = logging.getLogger(__name__)

UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, WRONG_STATE, TOO_MANY, TRY_LATER = 4401, 4403, 4404, 4409, 4429, 1013
CLOSE_CODES: dict[type[DomainError], int] = {
    Unauthenticated: UNAUTHENTICATED,
    Forbidden: FORBIDDEN,
    NotFound: NOT_FOUND,
    Conflict: WRONG_STATE,
    TooMany: TOO_MANY,
    Unavailable: TRY_LATER,
}
SEATS = 10
"""Sockets one user (or one address, on open streams) may have open in one web process."""

Handler = TypeVar("Handler", bound=Callable[..., None])
OnMessage = Callable[[Connection, dict[str, Any]], bool]

_KEY = "devflow-sockets"
_sock = Sock()


def init_sockets(
    app: Flask, logs: Logs, make_hub: Callable[[], Hub] = Hub, pace: float = PACE, seats: int = SEATS
) -> None:
    """Make the app able to serve sockets. Threads start in the process that serves the first one."""
    app.config["SOCK_SERVER_OPTIONS"] = {"thread_class": _LateThread, "max_message_size": 1024 * 1024}
    app.wsgi_app = without_compression(app.wsgi_app)  # type: ignore[method-assign]
    app.extensions[_KEY] = Sockets(app, logs, make_hub, pace, seats)


def sockets() -> Sockets:
    """The sockets of the current app."""
    found: Sockets = current_app.extensions[_KEY]
    return found


def route(blueprint: Blueprint, path: str, **options: Any) -> Callable[[Handler], Handler]:
    """Register a socket handler `f(ws, **arguments)`; options are those of a Flask route."""

    def register(handler: Handler) -> Handler:
        _sock.route(path, bp=blueprint, **options)(_closing_by_error(handler))
        return handler

    return register


def stream(
    ws: Any,
    subscription: Subscription,
    *,
    owner: str,
    guard: Guard | None,
    on_subscribe: bool = False,
    on_message: OnMessage | None = None,
) -> None:
    """Hand a socket over to the hub and feed it; the last call of a handler.

    `owner` is whose seat it takes (`user:<id>`, `ip:<address>`). `guard` closes the socket within a second when the
    right to it ends (`identity.again`); None is for streams that anybody may see.
    With `on_subscribe` lines start to flow when the viewer sends `{"type": "subscribe"}` (a `since` in it counts),
    else at once. `{"type": "ping"}` is answered with a pong. Other messages go to `on_message` first: it answers
    whether it knew them, in the hub's thread, so without waiting for anything; it may call `connection.send` and
    `connection.close`. Raises `TooMany`.
    """
    sockets().stream(ws, Viewing(subscription, owner, guard, on_subscribe, on_message))


def start_reader(ws: Any) -> None:
    """Start flask-sock's reader thread, for a handler that keeps its socket to itself."""
    ws.thread.begin()


def without_compression(application: Callable[..., Any]) -> Callable[..., Any]:
    """WSGI middleware: permessage-deflate is never agreed on. It would cost 0.1 MB and a deflate run per viewer."""

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
        return application(environ, start_response)

    return serve


class Viewing(NamedTuple):
    """What `stream` was asked for."""

    subscription: Subscription
    owner: str
    guard: Guard | None
    on_subscribe: bool
    on_message: OnMessage | None


class Seats:
    """How many sockets each owner has open in this process."""

    def __init__(self, limit: int = SEATS) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    def take(self, owner: str) -> None:
        """Raises `TooMany` when the owner has as many as allowed."""
        with self._lock:
            if self._taken[owner] >= self.limit:
                raise TooMany(
                    f"You have {self.limit} live connections open already. Close a tab that shows live logs, then "
                    "reload this one.",
                    retry_after=10,
                )
            self._taken[owner] += 1

    def leave(self, owner: str) -> None:
        with self._lock:
            self._taken[owner] -= 1
            if self._taken[owner] <= 0:
                del self._taken[owner]

    @contextmanager
    def taken(self, owner: str) -> Iterator[None]:
        """A seat for as long as a handler runs."""
        self.take(owner)
        try:
            yield
        finally:
            self.leave(owner)

    @property
    def count(self) -> int:
        """Sockets of everybody, for the metrics."""
        return self._taken.total()


class Sockets:
    """Hub, tailer and seats of one app, made anew in each process: gunicorn may fork after the app was made."""

    def __init__(self, app: Flask, logs: Logs, make_hub: Callable[[], Hub], pace: float, seats: int) -> None:
        self._app, self._logs, self._make_hub, self._pace = app, logs, make_hub, pace
        self._lock = threading.Lock()
        self._pid = 0
        self._hub: Hub | None = None
        self._tailer: Tailer | None = None
        self._guards: Guards | None = None
        self.seats = Seats(seats)

    @property
    def count(self) -> int:
        """Open sockets of this process, for the metrics."""
        return self.seats.count

    @property
    def rounds(self) -> int:
        """Looks the tailer has taken; it takes none without viewers."""
        return self._tailer.rounds if self._tailer else 0

    def wake(self, stream: str) -> None:
        """New lines were stored; whoever looks at them is served at once. For notifications from a writer."""
        if self._tailer:
            self._tailer.wake(stream)

    def stop(self, seconds: float = 1.0) -> None:
        """Close all adopted sockets with 1001; browsers come back to the next process."""
        with self._lock:
            hub, tailer, guards = self._hub, self._tailer, self._guards
            self._hub = self._tailer = self._guards = None
        if hub and tailer and guards and self._pid == os.getpid():
            guards.stop()
            tailer.stop()
            hub.stop(seconds)

    def refuse(self, ws: Any, code: int, reason: str) -> None:
        """Close a socket that was not handed over. The hub says goodbye, so that no thread waits for the answer."""
        if ws.thread.is_alive() or not ws.connected:
            ws.close(code, short_reason(reason))
        else:
            self._started().hub.adopt(ws, _ignore, _ignore, lambda connection: connection.close(code, reason))

    def stream(self, ws: Any, wanted: Viewing) -> None:
        hub, tailer, guards = self._started()
        subscription, owner, guard, on_subscribe, on_message = wanted
        self.seats.take(owner)
        started = not on_subscribe

        def heard(connection: Connection, text: str) -> None:
            nonlocal started
            message = _parsed(text)
            if message is None:
                connection.send(_message("error", message="This is not a JSON object with a type."))
            elif on_message and on_message(connection, message):
                pass
            elif message["type"] == "ping":
                connection.send(_message("pong"))
            elif message["type"] != "subscribe":
                connection.send(_message("error", message="This kind of message is not known here."))
            elif not started:
                started = True
                since = message.get("since")
                chosen = replace(subscription, since=since) if isinstance(since, int) else subscription
                tailer.follow(connection, chosen)

        def gone(connection: Connection) -> None:
            tailer.leave(connection)
            guards.leave(connection)
            self.seats.leave(owner)

        def opened(connection: Connection) -> None:
            if guard:
                guards.watch(connection, guard, lambda error: connection.close(close_code(error), error.message))
            if started:
                tailer.follow(connection, subscription)

        try:
            hub.adopt(ws, heard, gone, opened)
        except OSError:  # no descriptor left for it
            self.seats.leave(owner)
            raise

    def _started(self) -> _Parts:
        with self._lock:
            if self._hub is None or self._tailer is None or self._guards is None or self._pid != os.getpid():
                self._pid = os.getpid()
                self._hub = self._make_hub()
                self._tailer = Tailer(self._logs, self._pace, self._app.app_context)
                self._guards = Guards(self._app.app_context)
                atexit.register(self.stop)
            return _Parts(self._hub, self._tailer, self._guards)


class _Parts(NamedTuple):
    hub: Hub
    tailer: Tailer
    guards: Guards


def close_code(error: DomainError) -> int:
    """What a socket is closed with for an error of the house."""
    return next((code for kind, code in CLOSE_CODES.items() if isinstance(error, kind)), FAILED)


class _LateThread(threading.Thread):
    """flask-sock starts a reader thread with every socket; adopted ones need none."""

    def start(self) -> None:
        """Not yet."""

    def begin(self) -> None:
        self.daemon = True
        super().start()


def _closing_by_error(handler: Callable[..., None]) -> Callable[..., None]:
    @wraps(handler)
    def serve(ws: Any, *arguments: Any, **named: Any) -> None:
        try:
            _refuse_strangers()
            handler(ws, *arguments, **named)
        except ConnectionClosed:
            raise
        except DomainError as error:
            sockets().refuse(ws, close_code(error), error.message)
        except Exception:
            log.exception("A socket's handler failed")
            sockets().refuse(ws, FAILED, "Something failed on our side. Please try again.")

    return serve


def _refuse_strangers() -> None:
    """A browser sends its cookie along from any page of the same site, and what is deployed here is the same site."""
    origin = request.headers.get("Origin")
    if origin and by_cookie() and urlsplit(origin).netloc != request.host:
        raise Forbidden("Live connections are for DevFlow's own pages. Other programs send a token.")


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return message if isinstance(message, dict) and isinstance(message.get("type"), str) else None


def _message(kind: str, **values: str) -> str:
    return orjson.dumps({"type": kind, "timestamp": iso(now()), **values}).decode()


def _ignore(*_: object) -> None:
    """Nothing to hear, nothing to clear up."""
