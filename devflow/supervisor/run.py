"""`devflow up`: start everything, restart what crashes, stop in order."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from types import FrameType

from devflow.core.settings import Settings
from devflow.supervisor import ports
from devflow.supervisor.child import Child
from devflow.supervisor.fork import Fork
from devflow.supervisor.lock import only_one
from devflow.supervisor.output import Output
from devflow.supervisor.services import Service

_POLL = 0.05
_PATIENCE = 60.0
"""Seconds until it is said who is not ready."""
_STEADY = 30.0
"""Seconds after which a crash is no longer counted with the ones before it."""
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 5.0
"""Seconds before a restart. The longest is short: deployments are to be in a true state within 30 s of any crash."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GIVE_UP = 3
"""Crashes before the first readiness after which there is no point in going on."""


def run(
    settings: Settings,
    services: Sequence[Service],
    on_ready: Callable[[], None] | None = None,
    output: Output | None = None,
) -> int:
    """Run until TERM, INT, or a process that cannot start; returns the exit code. Call it from the main thread.

    `on_ready` is called once, in a process of its own, when every service answers. Raises `Conflict` when another
    DevFlow holds the data folder or a port is taken.
    """
    with only_one(settings.folder, settings.public_url):
        ports.check([port for service in services for port in service.ports])
        supervisor = Supervisor(services, output or Output(settings.folder / "log" / "devflow.log"))
        return supervisor.run(lambda: _greet(supervisor, settings, on_ready))


def _greet(supervisor: Supervisor, settings: Settings, on_ready: Callable[[], None] | None) -> None:
    supervisor.output.say(f"DevFlow is ready: {settings.public_url}")
    supervisor.output.say(f"Log: {supervisor.output.file} - stop with Ctrl-C.")
    if on_ready is not None:
        supervisor.beside(on_ready)


class Supervisor:
    """The loop. Everything happens in one thread: children live as long as it does, and forks are safe."""

    def __init__(self, services: Sequence[Service], output: Output) -> None:
        self.output = output
        self._services = {service.name: service for service in services}
        self._children: dict[str, Child] = {}
        self._crashes: dict[str, int] = dict.fromkeys(self._services, 0)
        self._restart_at: dict[str, float] = {}
        self._helper: Fork | None = None
        self._signals = 0
        self._ready = False
        self._code = 0

    def run(self, on_ready: Callable[[], None]) -> int:
        heard = [s for s in _SIGNALS if signal.getsignal(s) is not signal.SIG_IGN]  # nohup means it
        before = {sign: signal.signal(sign, self._hear) for sign in heard}
        try:
            self._loop(on_ready)
        finally:
            self._stop()
            for sign, handler in before.items():
                signal.signal(sign, handler)
            self.output.close()
        return self._code

    def beside(self, work: Callable[[], None]) -> None:
        """Do this in a process of its own, which ends with us and is not started again."""
        self._helper = Fork(work, "devflow-up")

    def _hear(self, sign: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _loop(self, on_ready: Callable[[], None]) -> None:
        for service in self._services.values():
            self._start(service)
        waiting = dict(self._services)
        complain_at = time.monotonic() + _PATIENCE
        while not self._signals and not self._code:
            self._look_after()
            if not self._ready:
                for name in [name for name, service in waiting.items() if self._answers(service)]:
                    del waiting[name]
                if not waiting:
                    self._ready = True
                    on_ready()
                elif time.monotonic() > complain_at:
                    complain_at += _PATIENCE
                    self.output.say(f"Still waiting for {', '.join(waiting)}; the log above says what it is doing.")
            self._pause()

    def _pause(self) -> None:
        """A moment; lines that come meanwhile are handed on."""
        speaking = {child.pipe: child for child in self._children.values() if not child.silent}
        for pipe in select.select(list(speaking), [], [], _POLL)[0]:
            speaking[pipe].hear()

    def _start(self, service: Service) -> None:
        self._restart_at.pop(service.name, None)
        self._children[service.name] = Child(service, self.output)

    def _answers(self, service: Service) -> bool:
        child = self._children[service.name]
        return child.code is None and (service.ready is None or service.ready())

    def _look_after(self) -> None:
        """Notice crashes, and restart what has waited long enough."""
        if self._helper is not None and self._helper.poll() is not None:
            self._helper = None
        now = time.monotonic()
        for name, child in list(self._children.items()):
            if name in self._restart_at:
                if now >= self._restart_at[name]:
                    self._start(child.service)
            elif child.code is not None:
                self._crashed(child, now)

    def _crashed(self, child: Child, now: float) -> None:
        child.finish()
        child.kill()  # what it left behind would hold its port
        name = child.service.name
        self._crashes[name] = 1 if now - child.started > _STEADY else self._crashes[name] + 1
        if not self._ready and self._crashes[name] >= _GIVE_UP:
            self._code = 1
            reason = child.last[-1] if child.last else "it said nothing"
            self.output.say(
                f"{name} {child.ending()} {_GIVE_UP} times, so DevFlow cannot start. Its last line: {reason}"
            )
            return
        wait = min(_FIRST_WAIT * 2 ** (self._crashes[name] - 1), _LONGEST_WAIT)
        self._restart_at[name] = now + wait
        self.output.say(f"{name} {child.ending()}; starting it again in {wait:g} s.")

    def _stop(self) -> None:
        """Level by level; a second signal kills."""
        if self._helper is not None:
            self._helper.terminate()
        alive = [child for child in self._children.values() if child.code is None]
        if alive:
            self.output.say("Stopping …")
        for level in sorted({child.service.level for child in alive}):
            self._stop_together([child for child in alive if child.service.level == level])
        if alive:
            self.output.say(f"Stopped (process {os.getpid()}).")

    def _stop_together(self, children: list[Child]) -> None:
        started, killed = time.monotonic(), set[str]()
        for child in children:
            child.terminate()
        while alive := [child for child in children if child.code is None]:
            for child in alive:
                late = time.monotonic() - started > child.service.grace
                if (late or self._signals > 1) and child.service.name not in killed:
                    killed.add(child.service.name)
                    self.output.say(f"{child.service.name} did not stop in time and is killed.")
                    child.kill()
            self._pause()
        for child in children:
            child.finish()
            child.kill()
