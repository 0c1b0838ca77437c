"""`devflow up`: web and worker as forks of one process that has imported what both need, once.

Imported by each for itself it would take three times the memory and three times as long to start (docs/performance.md).
"""

from __future__ import annotations

import ctypes
import gc
import threading
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module

from sqlalchemy.orm import configure_mappers

from devflow.adapters.caddy.process import prepare
from devflow.app import edge_of, process_app
from devflow.core.errors import DomainError
from devflow.core.settings import Settings
from devflow.supervisor.fork import Fork
from devflow.supervisor.run import run
from devflow.supervisor.services import Service, services

_SHARED = ("gunicorn.app.wsgiapp", "gunicorn.arbiter", "gunicorn.glogging", "gunicorn.workers.gthread", "huey.consumer")
_FORKED = ("web", "worker")


def up(settings: Settings, on_ready: Callable[[], None] | None = None) -> int:
    """Bring the database up to date, start everything and look after it; returns the exit code."""
    if code := _migrate(settings):
        return code
    command = None if settings.edge_external else prepare(edge_of(settings).settings)
    _preload()
    return run(settings, [_forked(service) for service in services(settings, command)], on_ready)


def _migrate(settings: Settings) -> int:
    """In a process of its own: neither the tools nor open connections shall stay in this one."""

    def work() -> None:
        try:
            import_module("devflow.store").migrate(settings)
        except DomainError as error:
            raise SystemExit(f"Error: {error.message}") from error

    return Fork(work, "devflow-migrate").wait()


def _preload() -> None:
    process_app()
    for name in _SHARED:
        import_module(name)
    configure_mappers()
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join()  # a timer of the rate limiter, done at once
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    if trim is not None:
        trim(0)  # what importing has left over
    gc.freeze()  # a collection in a child would write into every shared page


def _forked(service: Service) -> Service:
    return replace(service, forked=service.name in _FORKED)
