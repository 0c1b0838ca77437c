"""Our values as the engine's JSON, and its JSON as our values."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, cast

from devflow.ports.engine import MANAGED, Container, ContainerEvent, Image, RunSpec, Usage

PIDS = 512
"""Processes and threads of a container whose spec sets no bound: a fork bomb must end somewhere."""

CAPABILITIES = (
    # Ordinary images start as root, prepare their folders and then become somebody else (nginx, postgres, gosu).
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "SETGID",
    "SETUID",
    # A root master signals workers that run as somebody else.
    "KILL",
    # Binaries that carry it as a file capability (caddy) cannot even start when it is missing from the bounding set.
    "NET_BIND_SERVICE",
)
"""What a container's root keeps. Dropped of Docker's own set: raw sockets, device nodes, chroot, audit, setfcap …"""

STATES = ("created", "running", "restarting", "paused", "exited", "dead")


def managed(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels with our own mark."""
    return {MANAGED: "true", **labels}


def label_filter(labels: Mapping[str, str]) -> list[str]:
    """The engine's filter; an empty value asks for any value."""
    return [f"{key}={value}" if value else key for key, value in labels.items()]


def container_config(spec: RunSpec) -> dict[str, Any]:
    """The body of `POST /containers/create`."""
    config: dict[str, Any] = {
        "Image": spec.image,
        "Env": [f"{key}={value}" for key, value in spec.env.items()],
        "Labels": managed(spec.labels),
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": host_config(spec),
        "NetworkingConfig": {"EndpointsConfig": {spec.network: {}}},
    }
    if spec.command is not None:
        config["Cmd"] = list(spec.command)
    return config


def host_config(spec: RunSpec) -> dict[str, Any]:
    """Hardening and limits. Swap counts as memory, or a limit would only make the machine slow."""
    limits = spec.limits
    host: dict[str, Any] = {
        "NetworkMode": spec.network,
        "RestartPolicy": {"Name": "unless-stopped" if spec.restart else "no"},
        "Init": True,
        "SecurityOpt": ["no-new-privileges"],
        "CapDrop": ["ALL"],
        "CapAdd": list(CAPABILITIES),
        "PidsLimit": limits.pids or PIDS,
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "50m", "max-file": "2"}},
    }
    if limits.memory is not None:
        host["Memory"] = host["MemorySwap"] = limits.memory
    if limits.cpus is not None:
        host["NanoCpus"] = int(limits.cpus * 1e9)
    return host


def container(inspected: Mapping[str, Any]) -> Container:
    """From `GET /containers/{id}/json`."""
    state, config = inspected["State"], inspected["Config"]
    status = state["Status"] if state["Status"] in STATES else "dead"  # "removing" is as good as dead
    ended = status in ("exited", "dead")
    return Container(
        id=inspected["Id"],
        name=inspected["Name"].lstrip("/"),
        image=config["Image"],
        state=cast('Literal["created", "running", "restarting", "paused", "exited", "dead"]', status),
        address=_address(inspected) if status in ("running", "paused") else None,
        exit_code=state["ExitCode"] if ended or status == "restarting" else None,
        oom_killed=bool(state.get("OOMKilled")),
        restarts=inspected.get("RestartCount", 0),
        started_at=moment(state.get("StartedAt")),
        finished_at=moment(state.get("FinishedAt")),
        labels=dict(config.get("Labels") or {}),
    )


def _address(inspected: Mapping[str, Any]) -> str | None:
    settings = inspected.get("NetworkSettings", {})
    networks = settings.get("Networks") or {}
    own = networks.get(inspected.get("HostConfig", {}).get("NetworkMode", ""))
    candidates = [own, *networks.values()] if own else list(networks.values())
    return next((network["IPAddress"] for network in candidates if network.get("IPAddress")), None)


def image(inspected: Mapping[str, Any]) -> Image:
    """From `GET /images/{name}/json`."""
    config = inspected.get("Config") or {}
    exposed = (port.partition("/") for port in config.get("ExposedPorts") or {})
    return Image(
        id=inspected["Id"],
        tags=tuple(inspected.get("RepoTags") or ()),
        ports=tuple(sorted(int(number) for number, _, kind in exposed if kind in ("", "tcp"))),
        user=config.get("User") or "",
        size=inspected.get("Size", 0),
        labels=dict(config.get("Labels") or {}),
        created_at=moment(inspected.get("Created")),
    )


def moment(text: str | None) -> datetime | None:
    """The engine's time; the year 1 means never."""
    if not text or text.startswith("0001-"):
        return None
    return datetime.fromisoformat(text)


def event(message: Mapping[str, Any]) -> ContainerEvent | None:
    """From one line of `GET /events`; None for what nobody asked about."""
    kind, actor = message.get("Action"), message.get("Actor") or {}
    if kind not in ("start", "die", "oom", "destroy") or not actor.get("ID"):
        return None
    attributes = actor.get("Attributes") or {}
    labels = {
        key: value for key, value in attributes.items() if key not in ("image", "name", "exitCode", "execDuration")
    }
    return ContainerEvent(cast('Literal["start", "die", "oom", "destroy"]', kind), actor["ID"], labels)


def usage(stats: Mapping[str, Any]) -> Usage | None:
    """From one-shot stats; None when the container does not run. Page cache is not counted, as `docker stats` does."""
    memory = stats.get("memory_stats") or {}
    cpu = (stats.get("cpu_stats") or {}).get("cpu_usage") or {}
    if "usage" not in memory:
        return None
    detail = memory.get("stats") or {}
    cache = detail.get("total_inactive_file", detail.get("inactive_file", 0))
    used = memory["usage"] - cache if cache < memory["usage"] else memory["usage"]
    return Usage(memory=used, memory_limit=memory.get("limit", 0), cpu_seconds=cpu.get("total_usage", 0) / 1e9)


EMBEDDED_DNS = "127.0.0.11"
"""The engine's own name server listens there inside every container of a named network."""


def listening(tables: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """Sockets in state LISTEN (0A) of `/proc/net/tcp` and `/proc/net/tcp6`."""
    found = set()
    for table in tables:
        for line in table.splitlines()[1:]:
            columns = line.split()
            if len(columns) > 3 and columns[3] == "0A":
                address, _, port = columns[1].partition(":")
                found.add((_ip(address), int(port, 16)))
    return tuple(sorted(pair for pair in found if pair[0] != EMBEDDED_DNS))


def _ip(text: str) -> str:
    """The kernel writes addresses as 32-bit words in the machine's byte order."""
    words = bytes.fromhex(text)
    packed = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
    return str(ipaddress.ip_address(packed))
