"""What the engine says about a project's containers."""

from __future__ import annotations

import time
from typing import Any

from devflow.core.access import Actor, Permission
from devflow.core.errors import Unavailable
from devflow.core.use_case import query
from devflow.features.projects import service as projects
from devflow.features.projects.service import Project
from devflow.ports.engine import Container, Engine, Usage

PROJECT = "devflow.project"
_samples: dict[str, tuple[float, float]] = {}


@query(Permission.CONTAINERS_READ, on=projects.find)
def of_project(actor: Actor, project: Project, engine: Engine) -> list[dict[str, Any]]:
    """The containers of a project with what they use now; none while the engine does not answer."""
    try:
        return [_told(container, engine) for container in engine.containers({PROJECT: project.id})]
    except Unavailable:
        return []


def _told(container: Container, engine: Engine) -> dict[str, Any]:
    usage = engine.usage(container.id) if container.state == "running" else None
    return {
        "id": container.id,
        "docker_id": container.id[:12],
        "name": container.name,
        "image": container.image,
        "status": container.state,
        "created_at": container.started_at,
        "ports": [],
        "cpu": _cpu(container.id, usage),
        "memory": usage.memory if usage else None,
        "resources": _resources(container.id, usage),
    }


def _resources(container_id: str, usage: Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {
        "cpu_usage": _cpu(container_id, usage),
        "memory_usage_mb": round(usage.memory / 1_048_576, 1),
        "memory_limit_mb": round(usage.memory_limit / 1_048_576, 1),
    }


def _cpu(container_id: str, usage: Usage | None) -> float | None:
    """Share of one core in percent since the sample before; None for the first one."""
    if usage is None:
        return None
    at, before = time.monotonic(), _samples.get(container_id)
    if before is None or at - before[0] > 0.2:
        _samples[container_id] = (at, usage.cpu_seconds)
    if len(_samples) > 2000:
        _samples.clear()
    if before is None or at <= before[0]:
        return None
    return round(max(0.0, (usage.cpu_seconds - before[1]) / (at - before[0])) * 100, 1)
