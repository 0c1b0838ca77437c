"""What serves now and what is kept for a return: facts for the housekeeping that compares rows, engine and edge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import or_, select

from devflow.core.db import db, transaction
from devflow.core.settings import Settings
from devflow.features.deployments.models import Deployment
from devflow.features.deployments.rules.plan import Artifact, host_of, site
from devflow.features.deployments.service.running import output_folder, work_folder
from devflow.features.projects import service as projects
from devflow.ports.edge import Site

RECENT = 50
"""Versions looked through beyond those kept: what is older was marked before."""


@dataclass(frozen=True)
class Version:
    """One released version of a project, as housekeeping needs it."""

    deployment_id: str
    project_id: str
    number: int
    attempt: int
    artifact: Artifact
    container: str | None
    live_at: datetime | None

    @property
    def version(self) -> str:
        return f"{self.number}-{self.attempt}-{self.deployment_id}"


@dataclass(frozen=True)
class Holdings:
    """What of a project has to stay: what serves, what is being worked on, and the versions kept for a return."""

    project_id: str
    live: Version | None
    previous: Version | None
    active_ids: frozenset[str]
    kept: tuple[Version, ...]

    @property
    def images(self) -> frozenset[str]:
        return frozenset(version.artifact.image for version in self.kept if version.artifact.image)

    @property
    def folders(self) -> frozenset[Path]:
        return frozenset(Path(version.artifact.folder) for version in self.kept if version.artifact.folder)


def _version(row: Deployment) -> Version:
    assert row.artifact is not None
    artifact = Artifact.read(row.artifact)
    return Version(row.id, row.project_id, row.number, row.attempt, artifact, row.container, row.live_at)


def holdings(project_id: str, keep: int) -> Holdings:
    """Facts about one project; `keep` versions may come back."""
    rows = db.session.scalars(
        select(Deployment)
        .where(Deployment.project_id == project_id)
        .where(or_(Deployment.active_key.is_not(None), Deployment.live_at.is_not(None)))
        .order_by(Deployment.live_at.desc(), Deployment.number.desc())
        .limit(keep + 20)
    ).all()
    released = [_version(row) for row in rows if row.live_at and row.artifact]
    live = next((_version(row) for row in rows if row.live and row.artifact), None)
    before = [_version(row) for row in rows if row.left_at and row.status == "success" and row.artifact]
    kept = dict.fromkeys([version for version in (live, *before[:keep]) if version])
    facts = Holdings(
        project_id,
        live,
        before[0] if before else None,
        frozenset(row.id for row in rows if row.active),
        tuple(version for version in released if version in kept),
    )
    db.session.rollback()
    return facts


def mark_gone(holdings: Holdings) -> None:
    """Note at versions beyond those kept that nothing is left of them to return to."""
    rows = select(Deployment).where(
        Deployment.project_id == holdings.project_id,
        Deployment.left_at.is_not(None),
        Deployment.live_key.is_(None),
        Deployment.active_key.is_(None),
    )
    with transaction():
        for row in db.session.scalars(rows.order_by(Deployment.live_at.desc()).limit(len(holdings.kept) + RECENT)):
            built = row.artifact or {}
            image, folder = built.get("image"), built.get("folder")
            kept = image in holdings.images or (folder and Path(folder) in holdings.folders)
            if built and not kept and not built.get("gone"):
                row.artifact = {**built, "gone": True}


def serving_projects() -> list[str]:
    """Projects with a live version."""
    found = list(db.session.scalars(select(Deployment.project_id).where(Deployment.live_key.is_not(None))))
    db.session.rollback()
    return found


def is_inactive(project_id: str) -> bool:
    """Has its team switched this project off?"""
    found = projects.status_of(project_id) == "inactive"
    db.session.rollback()
    return found


def known(deployment_ids: Iterable[str]) -> frozenset[str]:
    """Which of these deployments still have a row."""
    ids = list(deployment_ids)
    found = frozenset(db.session.scalars(select(Deployment.id).where(Deployment.id.in_(ids)))) if ids else frozenset()
    db.session.rollback()
    return found


def working_ids() -> frozenset[str]:
    """Deployments that may have a container running: those that serve and those being worked on."""
    wanted = or_(Deployment.active_key.is_not(None), Deployment.live_key.is_not(None))
    found = frozenset(db.session.scalars(select(Deployment.id).where(wanted)))
    db.session.rollback()
    return found


def active_ids() -> frozenset[str]:
    found = frozenset(db.session.scalars(select(Deployment.id).where(Deployment.active_key.is_not(None))))
    db.session.rollback()
    return found


def sites(settings: Settings) -> tuple[Site, ...]:
    """Every project's site: with what is live or about to be, or nothing yet."""
    rows = db.session.scalars(
        select(Deployment).where(
            or_(Deployment.live_key.is_not(None), (Deployment.status == "deploying") & Deployment.kind.is_not(None))
        )
    ).all()
    wanted: dict[str, Deployment] = {}
    for row in sorted(rows, key=lambda row: row.live):
        # While a project changes from files to an app, what it is about to be decides.
        if row.project_id not in wanted or not row.live:
            wanted[row.project_id] = row
    found = []
    for project_id, slug, status in projects.addresses():
        version = wanted.get(project_id)
        spa = bool(((version.artifact if version else None) or {}).get("spa"))
        # No certificate is asked of a public authority for what has nothing to serve.
        tls = settings.edge_tls == "internal" or (settings.edge_tls != "off" and version is not None)
        kind = (version.kind if version else None) or "app"
        found.append(site(project_id, host_of(slug, settings), kind, tls=tls, spa=spa, status=status))
    db.session.rollback()
    return tuple(sorted(found, key=lambda site: site.key))


def folders(settings: Settings, project_id: str) -> tuple[Path, Path]:
    """Where checkouts are, and where this project's static versions are."""
    return work_folder(settings), output_folder(settings, project_id)
