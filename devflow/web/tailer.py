"""One thread that feeds all viewers of a web process: log lines by cursor, and states when they change.

A viewer is a cursor: the sequence number it has seen. In each round everybody gets what the store holds after the
own cursor, as far as the own socket takes it. Joining with `since`, catching up, a slow reader and a reconnect are
therefore the same thing, and no line is lost or sent twice. Viewers that look at the same place share one read and
one rendering. Without viewers the thread sleeps; with viewers it looks every `pace` seconds, or at once after `wake`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

from devflow.core.errors import Unavailable
from devflow.ports.logs import Line, Logs
from devflow.web.frames import text_frames
from devflow.web.hub import FAILED, NORMAL, Connection

log = logging.getLogger(__name__)

PACE = 0.025
"""Seconds between two looks, while there are viewers."""

REST = 3.0
"""A round is followed by at least this many times its own length, so that a slow store is not overrun."""

ROOM = 512 * 1024
"""Bytes a viewer may have pending and still get more; beyond it the store keeps its lines for later."""

CACHE_BYTES = 32 * 1024 * 1024
WATCH_RETRY = 2.0
"""Seconds until a watch that failed is asked again."""

AWAY = 1.0
"""Seconds until a store that does not answer is asked again."""

Render = Callable[[Sequence[Line]], Iterable[str]]
"""Lines to text messages. Must be hashable and equal when its output is: a module's function, or a frozen dataclass
with `__call__` when it needs values (the start of a deployment, say). Then viewers share its work."""


@dataclass(frozen=True, slots=True)
class State:
    """What a watch sees now. `messages` are sent when `version` differs from what the viewer got last.

    `final` says that nothing will be written any more: the messages then wait until the last stored line has been
    sent, and the socket is closed with 1000 behind them. So commit a final state only after closing the log writer.
    """

    version: Hashable
    messages: tuple[str, ...] = ()
    final: bool = False


@dataclass(frozen=True, slots=True)
class Watch:
    """Something whose state viewers follow. Viewers with the same `key` share one `look`, which must be cheap: it is
    called about 20 times a second, in the tailer's thread (within the app's context), for as long as anybody looks."""

    key: Hashable
    look: Callable[[], State]


@dataclass(frozen=True, slots=True)
class Subscription:
    """What one viewer wants: the lines of `stream` after `since`, the states of `watch`, or both ("" is no stream)."""

    stream: str
    render: Render | None = None
    since: int = 0
    watch: Watch | None = None


class _Place(NamedTuple):
    """Where a viewer looks. Viewers at the same place get the same bytes."""

    stream: str
    render: Render | None
    since: int


@dataclass(slots=True, eq=False)
class _Viewer:
    connection: Connection
    place: _Place
    watch: Watch | None
    seen: Hashable = field(default_factory=object)  # equal to no version

    @property
    def has_room(self) -> bool:
        return self.connection.pending < ROOM


@dataclass(slots=True)
class _Watched:
    look: Callable[[], State]
    viewers: dict[_Viewer, None] = field(default_factory=dict)
    state: State | None = None
    next: float = 0.0
    unsent: bool = True  # somebody may not have the state yet


class Tailer:
    """Feeds viewers. `context` is entered around every look at a watch, to give it a fresh app context."""

    def __init__(
        self, logs: Logs, pace: float = PACE, context: Callable[[], AbstractContextManager[object]] = nullcontext
    ) -> None:
        self._logs, self._pace, self._context = logs, pace, context
        self._changed = threading.Condition()
        self._orders: list[tuple[Connection, Subscription | None]] = []
        self._woken: set[str] = set()
        self._stopped = False
        self._next_round = 0.0
        self._viewers: dict[Connection, _Viewer] = {}  # this and what follows belongs to the thread
        self._places: dict[_Place, dict[_Viewer, None]] = {}
        self._watched: dict[Hashable, _Watched] = {}
        self._followed: frozenset[str] = frozenset()
        self._frames = _FrameCache()
        self.rounds = 0
        """Looks taken so far; stands still without viewers."""
        self._thread = threading.Thread(target=self._run, name="log-tailer", daemon=True)
        self._thread.start()

    def follow(self, connection: Connection, subscription: Subscription) -> None:
        """Feed this connection from now on; a second call replaces what it followed before."""
        self._order(connection, subscription)

    def leave(self, connection: Connection) -> None:
        """Forget a connection; for its `on_close`."""
        self._order(connection, None)

    def wake(self, stream: str) -> None:
        """There are new lines: look now rather than at the next round. Cheap, and never needed for correctness."""
        if stream in self._followed:
            with self._changed:
                self._woken.add(stream)
                self._changed.notify()

    def stop(self) -> None:
        """End the thread. Connections stay with the hub."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join(2)

    def _order(self, connection: Connection, subscription: Subscription | None) -> None:
        with self._changed:
            self._orders.append((connection, subscription))
            self._changed.notify()

    # Below here: the tailer's own thread

    def _run(self) -> None:
        while self._wait():
            with self._changed:
                orders, self._orders = self._orders, []
                woken, self._woken = self._woken, set()
            self._obey(orders)
            self._go_round(woken, at_once=bool(orders))

    def _go_round(self, woken: Collection[str], at_once: bool) -> None:
        """A round for all when it is time, else for the woken streams alone; decides when the next one is."""
        started = time.monotonic()
        full = at_once or started >= self._next_round
        try:
            more = self._round(None if full else woken)
        except Exception as error:
            if not isinstance(error, Unavailable):  # whoever reads or writes logs hears of that elsewhere
                log.exception("A round of the log tailer failed")
            self._next_round = time.monotonic() + AWAY
            return
        finished = time.monotonic()
        if more:
            self._next_round = finished
        elif full:
            self._next_round = finished + max(self._pace, REST * (finished - started))

    def _wait(self) -> bool:
        """Sleep until something may be there; false at the end."""
        with self._changed:
            while not self._stopped:
                left = self._next_round - time.monotonic()
                if self._orders or self._woken or (self._viewers and left <= 0):
                    return True
                self._changed.wait(left if self._viewers else None)
        return False

    def _obey(self, orders: Iterable[tuple[Connection, Subscription | None]]) -> None:
        """Viewers come and go."""
        for connection, subscription in orders:
            if connection in self._viewers:
                self._forget(self._viewers.pop(connection))
            if subscription and connection.open:
                self._admit(connection, subscription)
        if orders:
            self._followed = frozenset(place.stream for place in self._places)
            self._frames.keep_only(self._followed)

    def _admit(self, connection: Connection, wanted: Subscription) -> None:
        place = _Place(wanted.stream, wanted.render, max(0, wanted.since))
        viewer = self._viewers[connection] = _Viewer(connection, place, wanted.watch)
        self._places.setdefault(place, {})[viewer] = None
        if wanted.watch:
            watched = self._watched.setdefault(wanted.watch.key, _Watched(wanted.watch.look))
            watched.viewers[viewer] = None
            watched.unsent = True

    def _forget(self, viewer: _Viewer) -> None:
        self._move(viewer, None)
        if viewer.watch:
            watched = self._watched[viewer.watch.key]
            del watched.viewers[viewer]
            if not watched.viewers:
                del self._watched[viewer.watch.key]

    def _move(self, viewer: _Viewer, place: _Place | None) -> None:
        group = self._places[viewer.place]
        del group[viewer]
        if not group:
            del self._places[viewer.place]
        if place:
            viewer.place = place
            self._places.setdefault(place, {})[viewer] = None

    def _round(self, streams: Collection[str] | None) -> bool:
        """Give everybody (or the viewers of these streams) what there is; answers whether there is more at once."""
        self.rounds += 1
        final = self._look()
        more = False
        for place in [place for place in self._places if streams is None or place.stream in streams]:
            more = self._serve(place, final) or more
        self._send_states()
        return more

    def _look(self) -> bool:
        """Ask the watches, before lines are read; answers whether any says that it is final."""
        now = time.monotonic()
        for key, watched in self._watched.items():
            if now < watched.next:
                continue
            watched.next = now + 2 * self._pace
            try:
                with self._context():
                    state = watched.look()
            except Exception:
                log.exception("Looking at %r failed", key)
                watched.next = now + WATCH_RETRY
                continue
            if watched.state is None or state.version != watched.state.version:
                watched.unsent = True
            watched.state = state
        return any(watched.state and watched.state.final for watched in self._watched.values())

    def _serve(self, place: _Place, final: bool) -> bool:
        """Send the next lines to the viewers at this place; who has all of them and a final state is said goodbye."""
        try:
            frames = self._frames.after(self._logs, place)
        except Unavailable:
            raise
        except Exception:
            log.exception("Rendering %r failed", place)
            for viewer in tuple(self._places[place]):
                self._dismiss(viewer, FAILED, "these lines cannot be shown")
            return False
        if not frames:
            for viewer in tuple(self._places[place]) if final else ():
                self._finish(viewer)
            return False
        group = moving = [viewer for viewer in self._places[place] if viewer.has_room]
        for last, data in frames:
            moving = [viewer for viewer in moving if viewer.has_room]
            if moving:
                moving[0].connection.hub.send([viewer.connection for viewer in moving], data)
            for viewer in moving:
                self._move(viewer, place._replace(since=last))
        return bool(group)

    def _finish(self, viewer: _Viewer) -> None:
        state = self._watched[viewer.watch.key].state if viewer.watch else None
        if state and state.final and viewer.has_room:
            viewer.connection.hub.send((viewer.connection,), text_frames(state.messages))
            self._dismiss(viewer, NORMAL, "finished")

    def _dismiss(self, viewer: _Viewer, code: int, reason: str) -> None:
        viewer.connection.close(code, reason)
        del self._viewers[viewer.connection]
        self._forget(viewer)

    def _send_states(self) -> None:
        """Send states that are new to somebody; who has no room gets the one that is current when there is room."""
        for watched in self._watched.values():
            state = watched.state
            if not watched.unsent or state is None or state.final:
                continue
            waiting = [viewer for viewer in watched.viewers if viewer.seen != state.version]
            ready = [viewer for viewer in waiting if viewer.has_room]
            if ready:
                ready[0].connection.hub.send([viewer.connection for viewer in ready], text_frames(state.messages))
            for viewer in ready:
                viewer.seen = state.version
            watched.unsent = len(ready) < len(waiting)


_Frames = tuple[tuple[int, bytes], ...]


class _FrameCache:
    """Rendered frames by place. Stored lines never change, so an entry is right for as long as it is kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Place, _Frames] = OrderedDict()
        self._size = 0

    def after(self, logs: Logs, place: _Place) -> _Frames:
        """The next frames, each with the number of its last line; empty at the end of the log."""
        if not place.stream or place.render is None:
            return ()
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place]
        chunks = logs.chunks(place.stream, place.since)
        frames = tuple((chunk.last, text_frames(place.render(chunk.lines))) for chunk in chunks)
        if frames:
            self._kept[place] = frames
            self._size += _size(frames)
        while self._size > CACHE_BYTES:
            self._size -= _size(self._kept.popitem(last=False)[1])
        return frames

    def keep_only(self, streams: Collection[str]) -> None:
        """Forget the streams nobody looks at, which may be deleted meanwhile."""
        for place in [place for place in self._kept if place.stream not in streams]:
            self._size -= _size(self._kept.pop(place))


def _size(frames: _Frames) -> int:
    return sum(len(data) for _, data in frames)
