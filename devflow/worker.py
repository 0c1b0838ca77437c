"""The worker: takes jobs off both queues, keeps its leases alive, rescues what others lost, and keeps the promise that
what is live runs and is routed.

One process, thread workers; a fresh app context for each job. Ends cleanly on SIGTERM: jobs under way are handed back.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from flask import Flask
from huey.consumer import Consumer

from devflow.app import process_app
from devflow.core import events, journal, replay
from devflow.core.db import db
from devflow.core.errors import DomainError
from devflow.core.jobs import Jobs
from devflow.core.settings import Settings
from devflow.features.accounts.service import entering, mailed, pictures
from devflow.features.audit import tasks as audit
from devflow.features.deployments import tasks
from devflow.features.deployments.rules.plan import PROJECT
from devflow.features.mail import service as mail
from devflow.features.overview import service as overview
from devflow.features.tokens.service import keeping as tokens
from devflow.features.wizard import service as wizard
from devflow.ports.engine import Engine
from devflow.web.ports import port

log = logging.getLogger("devflow.worker")
DEFAULT_THREADS = 4
LOOKERS = 4
"""Projects looked after at once; a version that is called back may take a while to answer."""
STOP_SECONDS = 5.0
PASSING = 10.0
"""Seconds for which something may be away without being told: the parts of the platform start side by side."""

AGAIN = 5.0
"""Seconds until a loop that was kept from its work tries again."""


class QuietConsumer(Consumer):
    """Huey's consumer without its own signal handlers: this process has its own."""

    def _set_signal_handlers(self) -> None:
        pass


class Lasting:
    """Tells a trouble that lasts from one that passes, such as an edge that is still starting."""

    def __init__(self, seconds: float = PASSING, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._since: float | None = None

    def tells(self) -> bool:
        """It is there (still): has it been long enough to be worth a line?"""
        self._since = self._clock() if self._since is None else self._since
        return self._clock() - self._since >= self._seconds

    def over(self) -> None:
        self._since = None


class Loop:
    """Calls something again and again in a thread of its own, each time in a fresh app context."""

    def __init__(self, app: Flask, name: str, seconds: float, work: Callable[[], Any], stop: threading.Event) -> None:
        self._app, self._seconds, self._work, self._stop = app, seconds, work, stop
        self._soon = threading.Event()
        self._lasting = Lasting()
        self.thread = threading.Thread(target=self._run, daemon=True, name=name)
        self.thread.start()

    def soon(self) -> None:
        """Do it now rather than at the next turn."""
        self._soon.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._soon.clear()
            try:
                with self._app.app_context():
                    try:
                        self._work()
                    finally:
                        db.session.remove()
                self._lasting.over()
            except DomainError as error:
                if self._lasting.tells():
                    log.warning("%s: %s", self.thread.name, error)
                self._soon.wait(min(self._seconds, AGAIN))
                continue
            except Exception:
                log.exception("%s failed", self.thread.name)
            self._soon.wait(self._seconds)


def run(app: Flask, stop: threading.Event) -> None:
    """Work until `stop`."""
    with app.app_context():
        work, settings = port(Jobs), port(Settings)
    work.queues.bell.listen()
    work.queues.handle(lambda job_id, attempt: _in_context(app, work, job_id, attempt))
    consumers = [
        QuietConsumer(work.queues.hueys["build"], workers=settings.build_concurrency, **_OPTIONS),
        QuietConsumer(work.queues.hueys["default"], workers=DEFAULT_THREADS, **_OPTIONS),
    ]
    for consumer in consumers:
        consumer.start()
    keeper = Loop(app, "keeping", 15, _keep, stop)
    Loop(app, "beating", settings.lease / 3, work.beat, stop)
    Loop(app, "listening", 0.3, work.listen, stop)
    Loop(app, "reaping", 1, work.reap, stop)
    Loop(app, "sweeping", 5, events.sweep, stop)
    Loop(app, "tidying", 3600, _tidy, stop)
    threading.Thread(target=_follow_engine, args=(app, keeper, stop), daemon=True, name="engine-events").start()
    log.info("ready: %d builds at once", settings.build_concurrency)
    while not stop.wait(1):
        for consumer in consumers:
            consumer.check_worker_health()
    _end(app, work, consumers)


_OPTIONS: dict[str, Any] = {
    "worker_type": "thread", "initial_delay": 0.05, "max_delay": 0.2, "periodic": False, "check_worker_health": False,
}  # fmt: skip


def _in_context(app: Flask, work: Jobs, job_id: str, attempt: int) -> None:
    with app.app_context():
        work.run(job_id, attempt)


def _keep() -> None:
    tasks.publish_sites()
    tasks.rescue_stranded()
    tasks.keep_all_serving()
    tasks.clear_leftovers()


def _tidy() -> None:
    entering.forget_expired()
    mailed.forget_expired()
    mail.forget_old()
    wizard.forget_old()
    events.forget_old()
    replay.forget_old()
    overview.clear_teams()
    tokens.remind()
    tokens.forget_old()
    port(Jobs).forget_old()
    audit.plan()
    settings = port(Settings)
    pictures.forget_strays(settings.folder / "avatars", time.time() - 3600)
    port(Engine).prune_build_cache(settings.build_cache_size * 1024 * 1024)


def _follow_engine(app: Flask, keeper: Loop, stop: threading.Event) -> None:
    """Look after a project at once when one of its containers starts, dies or is removed."""
    with app.app_context():
        engine = port(Engine)
    with ThreadPoolExecutor(LOOKERS, "look-after") as lookers:
        while not stop.is_set():
            with suppress(DomainError):
                engine.info()
                keeper.soon()  # the engine was away: everything may have changed
                for event in engine.events(stop.is_set):
                    if project := event.labels.get(PROJECT):
                        lookers.submit(_look_after, app, project)
            stop.wait(1)


def _look_after(app: Flask, project_id: str) -> None:
    with app.app_context():
        try:
            tasks.keep_one_serving(project_id)
        except DomainError as error:
            log.warning("Project %s could not be looked after: %s", project_id, error)
        except Exception:
            log.exception("Looking after project %s failed", project_id)
        finally:
            db.session.remove()


def _end(app: Flask, work: Jobs, consumers: list[QuietConsumer]) -> None:
    """Take nothing new, let quick jobs finish, hand the others back."""
    for consumer in consumers:
        consumer.stop_flag.set()
    work.queues.bell.ring()
    deadline = time.monotonic() + STOP_SECONDS
    with app.app_context():
        while work.running() and time.monotonic() < deadline:
            if all(job.kind == tasks.RUN for job in work.running()):
                break  # builds take longer than anybody wants to wait
            time.sleep(0.05)
        work.release()
    log.info("stopped")


def main() -> None:
    journal.start()
    logging.getLogger("huey").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(process_app(), stop)


if __name__ == "__main__":
    main()
