"""How often: limits by group of routes (conflicts.md C46 to C53), told in the X-RateLimit-* headers.

Everything under `/api` counts against its caller's general limit, changes on pages too. An operation of a group counts
against that as well: `@bp.delete(…, limit="sensitive")`, or `@limited("sensitive")` and `@credentials` on a page.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar, cast

from flask import Flask, Response, current_app, g, request
from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute, WindowStats, parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

from devflow.core.addresses import network_of
from devflow.core.errors import TooMany, Unavailable
from devflow.core.settings import Settings
from devflow.web.identity import visitor

log = logging.getLogger(__name__)
View = TypeVar("View", bound=Callable[..., Any])
T = TypeVar("T")
Group = Literal["credentials", "sensitive", "tokens"]

_FREE = ("/health", "/status")
"""What load balancers and status pages ask every few seconds is not counted (C52)."""
_KEY = "devflow-limits"
AUTH_LIMIT = "DEVFLOW_AUTH_LIMIT"
"""Name in the app's configuration, so that a test can tighten it."""
_AGAIN = 10.0
"""Seconds until a store of limits that did not answer is asked again; meanwhile each process counts by itself."""


@dataclass(frozen=True)
class Limited:
    """The group an operation belongs to, and the name under which its calls are counted."""

    group: Group
    name: str


class _Bucket(NamedTuple):
    rate: RateLimitItem
    key: tuple[str, ...]


def limited(group: Group) -> Callable[[View], View]:
    """Count calls of this view (on pages: submitted forms) against the limit of a group.

    Both doors of a feature share the count when their views have the same name.
    """

    def mark(view: View) -> View:
        view.limited = limit_for(group, view)  # type: ignore[attr-defined]
        return view

    return mark


def limit_for(group: Group, view: Callable[..., Any]) -> Limited:
    """A view's place in a group: tokens are counted together, everything else for each operation by itself."""
    feature = view.__module__.removeprefix("devflow.features.").split(".")[0]
    return Limited(group, "all" if group == "tokens" else f"{feature}.{view.__name__}")


def credentials(view: View) -> View:
    """For routes that take credentials or send mail: few tries a minute for one address, whichever door it tries."""
    return limited("credentials")(view)


def limit_of(view: Callable[..., Any] | None) -> Limited | None:
    """The limit a view has been given, if any."""
    return cast("Limited | None", getattr(view, "limited", None))


def init_app(app: Flask, settings: Settings) -> None:
    app.config[AUTH_LIMIT] = f"{settings.auth_limit_per_minute} per minute"
    app.extensions[_KEY] = Counter(settings)
    app.before_request(_count)
    app.after_request(_tell)


class Counter:
    """Counts calls in Redis, or in this process while there is none."""

    def __init__(self, settings: Settings) -> None:
        self.general = RateLimitItemPerMinute(settings.rate_limit_per_minute)
        self.hourly = RateLimitItemPerHour(settings.token_limit_per_hour)
        self._of_group: dict[str, RateLimitItem] = {
            "sensitive": RateLimitItemPerMinute(settings.sensitive_limit_per_minute),
            "tokens": RateLimitItemPerMinute(settings.token_creations_per_minute),
        }
        self._here = FixedWindowRateLimiter(MemoryStorage())
        self._shared: FixedWindowRateLimiter | None = None
        self._away_until = 0.0
        if settings.redis_url:
            storage = storage_from_string(
                settings.redis_url, wrap_exceptions=True, socket_timeout=0.5, socket_connect_timeout=0.5
            )
            self._shared = FixedWindowRateLimiter(cast(Any, storage))

    def of_group(self, group: Group) -> RateLimitItem:
        """How often calls of this group are allowed."""
        return parse(current_app.config[AUTH_LIMIT]) if group == "credentials" else self._of_group[group]

    def ask(self, work: Callable[[FixedWindowRateLimiter], T]) -> T:
        """Count something in the store, or in this process while the store does not answer."""
        if self._shared is not None and time.monotonic() >= self._away_until:
            try:
                return work(self._shared)
            except StorageError as error:
                log.warning("Limits are counted in this process, Redis does not answer: %s", error.storage_error)
                self._away_until = time.monotonic() + _AGAIN
        return work(self._here)

    def ping(self) -> None:
        """Raises Unavailable when the shared store does not answer; one of our own always does."""
        if self._shared is not None and not self._shared.storage.check():
            raise Unavailable("Redis does not answer.")


def counter() -> Counter:
    """The counter of the current app."""
    found: Counter = current_app.extensions[_KEY]
    return found


def _hit(
    rates: FixedWindowRateLimiter, buckets: list[_Bucket]
) -> tuple[list[tuple[_Bucket, WindowStats]], list[_Bucket]]:
    """Count a call: the state of each bucket, and those that were full."""
    full = [bucket for bucket in buckets if not rates.hit(bucket.rate, *bucket.key)]
    return [(bucket, rates.get_window_stats(bucket.rate, *bucket.key)) for bucket in buckets], full


def _count() -> None:
    """Before each request; raises TooMany."""
    buckets = list(_buckets())
    if not buckets:
        return
    states, full = counter().ask(lambda rates: _hit(rates, buckets))
    # The one nearest to its end; of two alike, the one that takes longer to empty.
    tightest = min(states, key=lambda state: (state[1].remaining, -state[1].reset_time))
    if full:
        tightest = max((state for state in states if state[0] in full), key=lambda state: state[1].reset_time)
    g.limit = tightest
    if full:
        seconds = max(1, int(tightest[1].reset_time - time.time() + 0.999))
        raise TooMany(f"Too many requests. Try again in {_spoken(seconds)}.", seconds)


def _spoken(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{round(seconds / 60)} min"


def _buckets() -> Iterable[_Bucket]:
    """Everything this request counts against."""
    path, method = request.path, request.method
    rest = path.removeprefix("/api/v1").removeprefix("/api") if path.startswith("/api") else path
    looks = method in ("GET", "HEAD")
    if method == "OPTIONS" or (looks and (not path.startswith("/api/") or rest.startswith(_FREE))):
        return
    found, address = visitor(), network_of(request.remote_addr or "")
    token = found.actor.token_id if found else None
    caller = ("token", token) if token else ("user", found.actor.id) if found else ("ip", address)
    counts = counter()
    yield _Bucket(counts.general, ("general", *caller))
    if token:
        yield _Bucket(counts.hourly, ("hourly", *caller))
    limit = limit_of(current_app.view_functions.get(request.endpoint or ""))
    if limit is not None:
        by_address = limit.group == "credentials"
        who = ("ip", address) if by_address else caller
        yield _Bucket(counts.of_group(limit.group), (limit.group, limit.name, *who))


def _tell(response: Response) -> Response:
    state: tuple[_Bucket, WindowStats] | None = g.get("limit")
    if state is not None:
        bucket, stats = state
        response.headers["X-RateLimit-Limit"] = str(bucket.rate.amount)
        response.headers["X-RateLimit-Remaining"] = str(max(0, stats.remaining))
        response.headers["X-RateLimit-Reset"] = str(int(stats.reset_time + 0.999))
    return response
