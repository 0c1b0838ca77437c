"""Containers as the contract answers them."""

from __future__ import annotations

from devflow.core.schema import Moment, Output


class Resources(Output):
    cpu_usage: float | None
    memory_usage_mb: float | None
    memory_limit_mb: float | None


class ContainerOut(Output):
    id: str
    docker_id: str
    name: str
    image: str
    status: str
    created_at: Moment | None
    ports: list[str]
    resources: Resources | None
