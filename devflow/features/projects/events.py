"""Facts about projects."""

from __future__ import annotations

from dataclasses import dataclass

from devflow.core.events import fact


@fact
@dataclass(frozen=True)
class ProjectCreated:
    project_id: str


@fact
@dataclass(frozen=True)
class ProjectUpdated:
    project_id: str


@fact
@dataclass(frozen=True)
class ProjectDeleted:
    project_id: str
    slug: str
