"""What a deployment has left on the machine: on the engine, on the disk and in the queue."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any

import docker
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from tests.journeys.platform import Platform, wait_for


def remains(platform: Platform, deployment: Mapping[str, Any]) -> list[str]:
    """Containers, images, folders and open jobs of a deployment, by name."""
    return [*_on_the_engine(deployment), *_on_the_disk(platform, deployment), *_in_the_queue(platform, deployment)]


def nothing_is_left(platform: Platform, deployment: Mapping[str, Any], seconds: float = 15) -> None:
    """Wait until nothing of the deployment is there any more; what goes on serving is another one's."""
    left: list[str] = []

    def clear() -> bool:
        left[:] = remains(platform, deployment)
        return not left

    try:
        wait_for(clear, seconds, "the removal of what the deployment made")
    except AssertionError as error:
        raise AssertionError(f"{error}: {', '.join(left)}") from None


def _on_the_engine(deployment: Mapping[str, Any]) -> list[str]:
    mine = {"label": f"devflow.deployment={deployment['id']}"}
    with closing(docker.from_env()) as engine:
        containers = [f"container {row['Names']}" for row in engine.api.containers(all=True, filters=mine)]
        return [*containers, *(f"image {row['RepoTags']}" for row in engine.api.images(filters=mine))]


def _on_the_disk(platform: Platform, deployment: Mapping[str, Any]) -> list[str]:
    builds = (platform.folder / "builds").glob(f"{deployment['id']}*")
    static = (platform.folder / "static" / deployment["project_id"]).glob(f"{deployment['number']}-*")
    return [f"folder {path}" for path in (*builds, *static)]


def _in_the_queue(platform: Platform, deployment: Mapping[str, Any]) -> list[str]:
    url = platform.variables.get("DATABASE_URL") or f"sqlite:///{platform.folder / 'devflow.db'}"
    asked = text("SELECT kind, state FROM jobs WHERE state IN ('queued', 'running') AND subject IN (:mine, :project)")
    store = create_engine(url, poolclass=NullPool)
    with store.connect() as connection:
        rows = connection.execute(asked, {"mine": deployment["id"], "project": deployment["project_id"]})
        return [f"job {kind} ({state})" for kind, state in rows]
