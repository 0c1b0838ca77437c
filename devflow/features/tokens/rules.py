"""Pure decisions about API tokens: how a value is written, and how wide a token is."""

from __future__ import annotations

import ipaddress
import secrets
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from devflow.core.access import SCOPES, TEAM_RIGHTS, Actor, Permission, allowed_by

PREFIX = "dvf_"
RANDOM = 32
CHECKSUM = 6
SHOWN = len(PREFIX) + 4
"""Characters of a value that lists show."""
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

REMINDERS = (14, 7, 1)
"""Days before the end at which the owner gets a letter."""
SETTLING = timedelta(minutes=1)
"""Requests that were on their way when a value ended are no theft: so long its use is only refused."""

TITLES = {"read": "Read", "write": "Write", "deploy": "Deploy", "admin": "Administer"}
SENTENCES = {
    "read": "Look at projects, deployments, logs and members.",
    "write": "Create, change and delete projects, variables and settings.",
    "deploy": "Deploy, redeploy, roll back and cancel.",
    "admin": "Manage members, roles and accounts, and read the audit.",
}
"""What the coarse scopes are called and say on pages."""

P = Permission
_OF_ONESELF = frozenset({P.ACCOUNT_READ, P.TOKENS_MANAGE, P.TOKENS_READ, P.TOKENS_VERIFY})
"""What a token limited to a team or to projects may do beyond them: say who it is, and look after tokens."""
_OF_WHOLE_TEAMS = frozenset(
    p for p in TEAM_RIGHTS if p.value.partition(":")[0] in ("audit", "invitations", "members", "roles", "teams")
) | {P.PROJECTS_CREATE}
"""What concerns a team as a whole, so that a token limited to projects may not do it."""


def new_value() -> str:
    """A new token: prefix, random characters, checksum (GitHub's scheme)."""
    random = "".join(secrets.choice(_BASE62) for _ in range(RANDOM))
    return f"{PREFIX}{random}{_checksum(random)}"


def well_formed(value: str) -> bool:
    """Could this be a token? A typo is found here, without a look into the database."""
    random, checksum = value[len(PREFIX) : -CHECKSUM], value[-CHECKSUM:]
    if not value.startswith(PREFIX) or len(random) != RANDOM or not random.isascii():
        return False
    return secrets.compare_digest(checksum.encode(), _checksum(random).encode())


def _checksum(random: str) -> str:
    number, digits = zlib.crc32(random.encode("ascii")), ""
    while number:
        number, digit = divmod(number, len(_BASE62))
        digits = _BASE62[digit] + digits
    return digits.rjust(CHECKSUM, _BASE62[0])


@dataclass(frozen=True)
class Width:
    """How much a token may do, where, and until when (None is for ever); for comparing two."""

    allowed: frozenset[Permission]
    team: str | None
    projects: frozenset[str]
    ends: datetime | None
    networks: tuple[str, ...] = ()

    def fits(self, actor: Actor, ends: datetime | None, networks: Sequence[str] = ()) -> bool:
        """Is this no wider than the token the actor came with, which may be used from these networks until then?"""
        if actor.cap is None:
            return True
        if actor.only_teams is not None and self.team not in actor.only_teams:
            return False
        if actor.only_projects is not None and not (self.projects and self.projects <= actor.only_projects):
            return False
        if networks and not (self.networks and all(_inside(network, networks) for network in self.networks)):
            return False
        return self.allowed <= actor.cap and (ends is None or (self.ends is not None and self.ends <= ends))


def _inside(inner: str, outer: Sequence[str]) -> bool:
    network = ipaddress.ip_network(inner)
    around = [ipaddress.ip_network(one) for one in outer]
    return any(
        network.version == one.version and network.network_address in one and network.broadcast_address in one
        for one in around
    )


def cap(scopes: Iterable[str], team: str | None, projects: Iterable[str]) -> frozenset[Permission]:
    """What a token with these scopes and limits allows at most. What a later DevFlow called differently is nothing."""
    allowed = allowed_by(scope for scope in scopes if scope in SCOPES or scope in _NAMES)
    if not team and not tuple(projects):
        return allowed
    return allowed & (_OF_ONESELF | (TEAM_RIGHTS - (_OF_WHOLE_TEAMS if tuple(projects) else frozenset())))


_NAMES = {permission.value for permission in Permission}


def unknown(scopes: Iterable[str]) -> list[str]:
    """The scopes that do not exist."""
    return [scope for scope in scopes if scope not in SCOPES and scope not in _NAMES]


def beyond(actor: Actor, scopes: Iterable[str]) -> str | None:
    """The first scope of which the actor's roles allow nothing at all; None when there is no such scope."""
    for scope in scopes:
        if not any(actor.holds(permission) for permission in allowed_by([scope]) - {P.TOKENS_VERIFY}):
            return scope
    return None


def held(actor: Actor) -> list[str]:
    """The coarse scopes of which the actor's roles allow anything."""
    return [scope for scope in SCOPES if beyond(actor, [scope]) is None]


def normal_network(text: str) -> str:
    """An address or a range in its usual spelling. Raises ValueError."""
    network = ipaddress.ip_network(text.strip(), strict=False)
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def comes_from(ip: str, allowed: Iterable[str]) -> bool:
    """Is this address in one of the ranges? An IPv4 address inside an IPv6 one counts as itself."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in ipaddress.ip_network(network) for network in allowed)


def reminder(left: timedelta, life: timedelta, last: int | None) -> int | None:
    """Which reminder is due for a token with so much time left; None when it has been sent, or makes no sense."""
    due = min((days for days in REMINDERS if left <= timedelta(days=days)), default=None)
    if due is None or left <= timedelta() or (last is not None and last <= due):
        return None
    return due if life > timedelta(days=due) else None  # a token made for a week needs no letter on its first day


@dataclass(frozen=True)
class Bar:
    """One day of a chart in a box of 100 by 100: where it stands, how high it and its errors are, what it says."""

    x: float
    width: float
    height: float
    errors: float
    says: str


def bars(days: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """Days as bars next to each other; the tallest fills the box, and a day with any use is never invisible."""
    most, step = max((day["requests"] for day in days), default=0) or 1, 100 / max(1, len(days))
    found = []
    for number, day in enumerate(days):
        height = max(2.0, 100 * day["requests"] / most) if day["requests"] else 0.0
        failed = f", {day['errors']} refused or failed" if day["errors"] else ""
        says = f"{day['date']}: {day['requests']} requests{failed}"
        errors = height * day["errors"] / day["requests"] if day["requests"] else 0.0
        found.append(Bar(round(number * step, 3), round(step * 0.78, 3), round(height, 2), round(errors, 2), says))
    return found


def by_day(counted: Mapping[date, tuple[int, int]], today: date, days: int) -> list[dict[str, object]]:
    """Requests and errors of each of the last days, oldest first; days without any are 0."""
    line = [today - timedelta(days=back) for back in reversed(range(days))]
    found = [(day, *counted.get(day, (0, 0))) for day in line]
    return [{"date": day.isoformat(), "requests": requests, "errors": errors} for day, requests, errors in found]
