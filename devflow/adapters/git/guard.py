"""Where git may connect to: a host is looked up once, judged, and git is then held to what was found."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.request import getproxies_environment, proxy_bypass

from devflow.adapters.git.address import Address, invalid
from devflow.adapters.git.run import TimedOut
from devflow.core.errors import Cancelled

_LOOK_EVERY = 0.1
_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_INSIDE = (IPv4Network("192.0.0.0/24"), IPv4Network("168.63.129.16/32"))
"""Public by number, yet served inside the network itself: IETF protocols with Oracle's metadata, and Azure's."""
_NOBODY = "192.0.2.1"


class NoSuchHost(Exception):
    """The name leads to no address."""


@dataclass(frozen=True)
class Pin:
    """The addresses a host was found at; git gets no other."""

    host: str
    port: int
    addresses: tuple[str, ...]

    @property
    def known_as(self) -> str:
        """The name ssh itself would file the host's key under."""
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"


class Guard:
    """Keeps people from reaching the server's own network through it. `proxy`: git's own setting, if it has one."""

    def __init__(self, allow_private: bool, proxy: str = "") -> None:
        self.allow_private, self.proxy = allow_private, proxy

    def pin(self, address: Address, deadline: float, cancelled: Callable[[], bool]) -> Pin | None:
        """None where every address is allowed, and for a path. `deadline`: of the monotonic clock.

        Raises `Invalid` (INVALID_REPOSITORY) for a private address, `NoSuchHost`, `TimedOut`, `Cancelled`."""
        if self.allow_private or address.kind == "local":
            return None
        try:
            addresses = look_up(address.host, address.port, deadline, cancelled)
        except NoSuchHost:
            if not self._proxied(address):
                raise
            # The proxy may know the name. What curl would send around the proxy after all must find nobody.
            return Pin(address.host, address.port, (_NOBODY,))
        if not all(is_public(found) for found in addresses):
            raise invalid(
                f"{address.host} leads to a private address, and repositories are not fetched from there, "
                "so that nobody reaches this server's own network through it.",
                "An administrator can allow it with ALLOW_PRIVATE_ADDRESSES=1.",
            )
        return Pin(address.host, address.port, addresses)

    def _proxied(self, address: Address) -> bool:
        proxies = getproxies_environment()
        scheme = address.origin.partition("://")[0]
        named = self.proxy or proxies.get(scheme) or proxies.get("all")
        return address.kind == "http" and bool(named) and not proxy_bypass(address.host)


def is_public(text: str) -> bool:
    """Is this an address of the internet at large, and not of this machine or a network around it?

    An IPv4 address inside an IPv6 one (mapped, 6to4, NAT64) counts as itself."""
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        inner = _inner(address)
        if inner:
            return is_public(str(inner))
        return address in _UNICAST and address.is_global
    return address.is_global and not address.is_multicast and not any(address in network for network in _INSIDE)


def _inner(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def look_up(host: str, port: int, deadline: float, cancelled: Callable[[], bool]) -> tuple[str, ...]:
    """All addresses of a host, in the order to try them; numbers in every spelling the system itself understands.

    Raises `NoSuchHost`, `TimedOut`, `Cancelled`."""
    found: list[str] = []

    def ask() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):  # UnicodeError: a label that is too long for a name
            return
        found.extend(dict.fromkeys(str(entry[4][0]) for entry in entries))

    asking = threading.Thread(target=ask, daemon=True)  # a silent name server must hold up neither limit nor cancel
    asking.start()
    while asking.is_alive():
        asking.join(_LOOK_EVERY)
        if cancelled():
            raise Cancelled("The checkout was cancelled.")
        if asking.is_alive() and time.monotonic() > deadline:
            raise TimedOut
    if not found:
        raise NoSuchHost
    return tuple(found)
