"""One bridge for each project, with a small subnet of its own.

The engine's default pools end at 31 networks, so the subnets are chosen here.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from docker.errors import APIError, NotFound

from devflow.adapters.docker.connection import Connection, refusal
from devflow.adapters.docker.render import label_filter, managed
from devflow.core.errors import Conflict, Unavailable
from devflow.ports.engine import MANAGED

POOLS = tuple(ipaddress.IPv4Network(text) for text in ("10.213.0.0/16", "10.214.0.0/15", "172.24.0.0/14"))
PREFIX = 26
"""61 containers and a gateway: a project, its previews and both versions during a switch."""
TRIES = 64

Subnet = ipaddress.IPv4Network


def free_subnets(name: str, taken: Iterable[Subnet]) -> Iterator[Subnet]:
    """Subnets that overlap with none of `taken`. Each name starts elsewhere, so two processes seldom want the same."""
    spread = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    occupied = list(taken)
    for pool in POOLS:
        count = 1 << (PREFIX - pool.prefixlen)
        size = 1 << (32 - PREFIX)
        near = [subnet for subnet in occupied if subnet.overlaps(pool)]
        for step in range(count):
            address = int(pool.network_address) + (spread + step) % count * size
            subnet = Subnet((address, PREFIX))
            if not any(subnet.overlaps(other) for other in near):
                yield subnet


def network_config(name: str, labels: Mapping[str, str], subnet: Subnet) -> dict[str, Any]:
    """The body of `POST /networks/create`."""
    return {
        "Name": name,
        "Driver": "bridge",
        "CheckDuplicate": True,
        "Labels": managed(labels),
        "IPAM": {"Driver": "default", "Config": [{"Subnet": str(subnet)}]},
    }


def routes(table: str) -> list[Subnet]:
    """What `/proc/net/route` sends somewhere, the default route left out."""
    found = []
    for line in table.splitlines()[1:]:
        columns = line.split()
        if len(columns) > 7 and columns[7] != "00000000":
            target, mask = (int.from_bytes(bytes.fromhex(columns[i]), "little") for i in (1, 7))
            found.append(Subnet((target, mask.bit_count())))
    return found


def subnets(networks: Iterable[Mapping[str, Any]]) -> list[Subnet]:
    """The IPv4 subnets of the engine's networks."""
    texts = (
        config.get("Subnet", "") for network in networks for config in (network.get("IPAM") or {}).get("Config") or ()
    )
    return [Subnet(text, strict=False) for text in texts if text and ":" not in text]


class Networks:
    """Makes and removes the bridges of one engine."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ensure(self, name: str, labels: Mapping[str, str]) -> None:
        """Make it unless it is there; two processes may ask at once."""
        with self._connection.translated():
            if self._named(name):
                return
            last = self._create(name, labels)
        if last is not None:
            raise refusal(last)

    def _create(self, name: str, labels: Mapping[str, str]) -> APIError | None:
        api = self._connection.api
        last: APIError | None = None
        for attempt, subnet in enumerate(free_subnets(name, self._taken())):
            if attempt >= TRIES:
                break
            try:
                response = api.ask("POST", "/networks/create", json=network_config(name, labels, subnet))
                self._settle(name, response.json()["Id"])
                return None
            except APIError as error:
                last = error
                if error.status_code == 409 and self._named(name):
                    return None  # somebody else was faster
                if "overlap" not in str(error.explanation).lower():
                    break
        if last is None:
            raise Unavailable("No address range is left for another network. Remove projects that are not used.")
        return last

    def _settle(self, name: str, made: str) -> None:
        """Names are not unique to the engine: of two made at once, all sides keep the oldest."""
        same = sorted(self._named(name), key=lambda network: (network["Created"], network["Id"]))
        if same and same[0]["Id"] != made:
            self._connection.api.remove_network(made)

    def remove(self, name: str) -> None:
        """Gone already is fine; one in use, or not ours, raises `Conflict`."""
        with self._connection.translated():
            for network in self._named(name):
                if MANAGED not in (network.get("Labels") or {}):
                    raise Conflict(f"The network {name} was not made by DevFlow, so it is left alone.")
                self._remove(network["Id"], name)

    def labelled(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        """The names of those that carry every one of these labels."""
        with self._connection.translated():
            found = self._connection.api.networks(filters={"label": label_filter(labels)})
        return tuple(network["Name"] for network in found)

    def _remove(self, network: str, name: str) -> None:
        try:
            self._connection.api.remove_network(network)
        except NotFound:
            return
        except APIError as error:
            if "active endpoints" in str(error.explanation):
                raise Conflict(f"The network {name} still has containers. Remove them first.") from error
            raise

    def _named(self, name: str) -> list[dict[str, Any]]:
        """The engine's filter finds parts of names too."""
        return [network for network in self._connection.api.networks(names=[name]) if network["Name"] == name]

    def _taken(self) -> list[Subnet]:
        taken = subnets(self._connection.api.networks())
        if self._connection.local:
            taken += routes(Path("/proc/net/route").read_text(encoding="ascii"))
        return taken
