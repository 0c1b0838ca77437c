"""One thread that owns all adopted WebSockets of a web process, so that an open log costs no request thread.

A route does the handshake and the sign-in in its request thread and then hands the socket over (`Hub.adopt`). From
there on the hub sends, receives, pings and closes it. Everything it offers may be called from any thread.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from wsproto import WSConnection
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import RemoteProtocolError

from devflow.web.frames import close_frame, ping_frame, text_frame

log = logging.getLogger(__name__)

NORMAL, GOING_AWAY, UNSUPPORTED, TOO_BIG, FAILED = 1000, 1001, 1003, 1009, 1011
PING_EVERY = 25.0
"""Seconds between pings. Who has neither answered nor taken a byte since the last one is dropped."""

PENDING_BYTES = 4 * 1024 * 1024
"""What one viewer may be behind. Beyond it the viewer is dropped; it comes back with `since`."""

SEND_BUFFER = 256 * 1024
"""The kernel's part of it, bounded so that a viewer that does not read cannot take megabytes of its own."""

INCOMING_BYTES = 64 * 1024
"""Largest message taken from a viewer."""

CLOSE_SECONDS = 5.0
"""How long a viewer may take to say goodbye as well."""

OnText = Callable[["Connection", str], None]
OnClose = Callable[["Connection"], None]


class Connection:
    """One adopted socket. `send` and `close` may be called from any thread; after the end they do nothing.

    `on_text` and `on_close` run in the hub's thread: they must be quick and must not wait for anything.
    """

    def __init__(self, hub: Hub, sock: socket.socket, protocol: WSConnection, on_text: OnText, on_close: OnClose):
        self.hub, self.sock, self.protocol = hub, sock, protocol
        self.on_text, self.on_close = on_text, on_close
        self.open = True  # false before `on_close` is called
        self.gone = threading.Event()
        self.queued = 0  # bytes given to the hub; changed under its lock
        self.written = 0  # bytes given to the kernel; changed by its thread
        self.out: deque[memoryview] = deque()
        self.incoming: list[str] = []
        self.incoming_size = 0
        self.answered = True
        self.written_at_ping = 0
        self.close_by: float | None = None
        self.watched = selectors.EVENT_READ

    @property
    def pending(self) -> int:
        """Bytes the viewer has not taken yet; the kernel's buffer is not counted."""
        return self.queued - self.written

    def send(self, message: str) -> None:
        """Send a text message."""
        self.hub.send((self,), text_frame(message))

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say goodbye after everything sent so far, and end when the viewer has done so too."""
        self.hub.close(self, code, reason)


class Hub:
    """Adopts sockets. `ping_every`, `pending_bytes` and `close_seconds` are parameters for tests."""

    def __init__(
        self,
        ping_every: float = PING_EVERY,
        pending_bytes: int = PENDING_BYTES,
        close_seconds: float = CLOSE_SECONDS,
    ) -> None:
        self._ping_every, self._pending_bytes, self._close_seconds = ping_every, pending_bytes, close_seconds
        self._lock = threading.Lock()
        self._calls: deque[Callable[[], None]] = deque()
        self._woken = self._ended = False
        self._connections: set[Connection] = set()
        self._closing: set[Connection] = set()
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        self._selector.register(self._wake_reader, selectors.EVENT_READ, None)
        self._stop_by: float | None = None
        self._next_ping = time.monotonic() + ping_every
        self._thread = threading.Thread(target=self._run, name="socket-hub", daemon=True)
        self._thread.start()

    @property
    def count(self) -> int:
        """Open connections."""
        return len(self._connections)

    def adopt(
        self, ws: Any, on_text: OnText, on_close: OnClose, on_open: Callable[[Connection], None] | None = None
    ) -> None:
        """Take over the socket of a flask-sock handler, which must return right after this call.

        Under gunicorn's gthread this answers at once and the request thread is free. Under other servers, which close
        the socket when the handler returns, it waits for the end of the connection. `on_open` runs before either.
        """
        detached = ws.mode == "gunicorn"
        connection = Connection(self, _own_socket(ws.sock, detached), ws.ws, on_text, on_close)
        ws.connected = False  # flask-sock must not say goodbye in our place
        self._call(partial(self._add, connection))
        if on_open:
            on_open(connection)
        if not detached:
            connection.gone.wait()

    def send(self, connections: Iterable[Connection], data: bytes) -> None:
        """Send ready frames to each of the connections; the same bytes are shared by all."""
        chosen = tuple(connections)
        with self._lock:
            for connection in chosen:
                connection.queued += len(data)
        self._call(partial(self._deliver_to, chosen, data))

    def close(self, connection: Connection, code: int = NORMAL, reason: str = "") -> None:
        """Close after everything sent so far."""
        self._call(lambda: self._goodbye(connection, code, reason))

    def stop(self, seconds: float = 1.0) -> None:
        """Say goodbye (1001) to everybody, wait a moment for their answers and end. Harmless to repeat."""
        self._call(lambda: self._stop(seconds))
        self._thread.join(seconds + 1)

    # Below here: the hub's own thread

    def _call(self, call: Callable[[], Any]) -> None:
        """Let the hub's thread do it; what comes after its end is dropped at once."""
        with self._lock:
            self._calls.append(call)
            if not self._woken and not self._ended:
                self._woken = True
                os.write(self._wake_writer, b"x")
        if self._ended:
            self._clear()

    def _run(self) -> None:
        try:
            while self._stop_by is None or (self._connections and time.monotonic() < self._stop_by):
                for key, events in self._selector.select(self._wait()):
                    if key.data is None:
                        self._do_calls()
                    elif key.data in self._connections:  # it may have gone earlier in this turn
                        self._guard(key.data, self._serve, events)
                self._keep_time()
        except Exception:
            log.exception("The socket hub has stopped")
        with self._lock:
            self._ended = True
            os.close(self._wake_reader)
            os.close(self._wake_writer)
        self._clear()

    def _wait(self) -> float:
        """Seconds until something has to be done without being asked."""
        now = time.monotonic()
        times = [self._next_ping, *(connection.close_by or now for connection in self._closing)]
        if self._stop_by is not None:
            times.append(self._stop_by)
        return max(0.0, min(times) - now)

    def _clear(self) -> None:
        """The end: nobody stays connected, and nobody waits for us."""
        self._do_calls()
        for connection in tuple(self._connections):
            self._drop(connection)

    def _do_calls(self) -> None:
        with self._lock:
            if self._woken and not self._ended:
                os.read(self._wake_reader, 1)
            self._woken = False
            calls, self._calls = self._calls, deque()
        for call in calls:
            try:
                call()
            except Exception:
                log.exception("A call to the socket hub failed")

    def _guard(self, connection: Connection, act: Callable[..., None], *arguments: Any) -> None:
        """A failure costs one connection, never the hub."""
        try:
            act(connection, *arguments)
        except (OSError, RemoteProtocolError):
            self._drop(connection)
        except Exception:
            log.exception("A socket failed")
            self._drop(connection)

    def _add(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._selector.register(connection.sock, selectors.EVENT_READ, connection)

    def _deliver_to(self, connections: Iterable[Connection], data: bytes) -> None:
        for connection in connections:
            self._deliver(connection, data)

    def _deliver(self, connection: Connection, data: bytes) -> None:
        if connection not in self._connections or connection in self._closing:
            connection.written += len(data)
            return
        connection.out.append(memoryview(data))
        self._guard(connection, self._flush)
        if connection.pending > self._pending_bytes:
            self._drop(connection)  # a goodbye would wait behind what the viewer does not take

    def _serve(self, connection: Connection, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._flush(connection)
        if events & selectors.EVENT_READ:
            self._receive(connection)

    def _flush(self, connection: Connection) -> None:
        """Give the kernel as much as it takes now."""
        out = connection.out
        try:
            while out:
                sent = connection.sock.send(out[0])
                connection.written += sent
                if sent == len(out[0]):
                    out.popleft()
                else:
                    out[0] = out[0][sent:]
        except BlockingIOError:
            pass
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if out else 0)
        if wanted != connection.watched:
            self._selector.modify(connection.sock, wanted, connection)
            connection.watched = wanted

    def _receive(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(65536)
        except BlockingIOError:
            return
        if not data:
            self._drop(connection)
            return
        connection.answered = True
        connection.protocol.receive_data(data)
        for event in connection.protocol.events():
            if isinstance(event, Ping):
                self._answer(connection, connection.protocol.send(event.response()))
            elif isinstance(event, CloseConnection):
                if connection not in self._closing:
                    self._answer(connection, connection.protocol.send(event.response()))
                self._drop(connection)
                return
            elif isinstance(event, TextMessage):
                self._take(connection, event)
            elif isinstance(event, BytesMessage):
                self._goodbye(connection, UNSUPPORTED, "text messages only")

    def _take(self, connection: Connection, event: TextMessage) -> None:
        if connection in self._closing:
            return
        connection.incoming.append(event.data)
        connection.incoming_size += len(event.data)
        if connection.incoming_size > INCOMING_BYTES:
            self._goodbye(connection, TOO_BIG, "message too big")
        elif event.message_finished:
            message = "".join(connection.incoming)
            connection.incoming, connection.incoming_size = [], 0
            connection.on_text(connection, message)

    def _answer(self, connection: Connection, data: bytes) -> None:
        with self._lock:
            connection.queued += len(data)
        self._deliver(connection, data)

    def _goodbye(self, connection: Connection, code: int, reason: str = "") -> None:
        if connection not in self._connections or connection in self._closing:
            return
        self._answer(connection, close_frame(code, reason))
        connection.close_by = time.monotonic() + self._close_seconds
        self._closing.add(connection)

    def _drop(self, connection: Connection) -> None:
        if connection not in self._connections:
            return
        connection.open = False
        self._connections.discard(connection)
        self._closing.discard(connection)
        self._selector.unregister(connection.sock)
        try:
            connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was quicker
        connection.sock.close()
        connection.out.clear()
        try:
            connection.on_close(connection)
        except Exception:
            log.exception("Clearing up after a socket failed")
        connection.gone.set()

    def _keep_time(self) -> None:
        now = time.monotonic()
        for connection in [one for one in self._closing if one.close_by is not None and one.close_by <= now]:
            self._drop(connection)
        if now >= self._next_ping:
            self._next_ping = now + self._ping_every
            for connection in tuple(self._connections):
                self._ping(connection)

    def _ping(self, connection: Connection) -> None:
        if not connection.answered and connection.written == connection.written_at_ping:
            self._drop(connection)
            return
        connection.answered = False
        self._answer(connection, ping_frame())
        connection.written_at_ping = connection.written

    def _stop(self, seconds: float) -> None:
        self._stop_by = time.monotonic() + seconds
        for connection in tuple(self._connections):
            self._goodbye(connection, GOING_AWAY, "the server restarts, come back")


def _own_socket(sock: socket.socket, detached: bool) -> socket.socket:
    """A socket of the hub's own for the same connection.

    gunicorn half-closes and closes its socket when the handler returns, which would end the connection. So it gets a
    stand-in under the same descriptor, whose other end is closed already; its bookkeeping stays right that way.
    """
    own = sock.dup()
    if detached:
        stand_in, other_end = socket.socketpair()
        with stand_in, other_end:
            os.dup2(stand_in.fileno(), sock.fileno(), inheritable=False)
    own.setblocking(False)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    if own.family != socket.AF_UNIX:
        own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return own
