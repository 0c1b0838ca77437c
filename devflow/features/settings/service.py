"""The settings in force: the environment's, with an administrator's changes over them."""

from __future__ import annotations

from sqlalchemy import select

from devflow.core.access import Actor, Permission
from devflow.core.db import db
from devflow.core.settings import Settings
from devflow.core.use_case import query, use_case
from devflow.features.audit import service as audit
from devflow.features.settings.models import PlatformSetting
from devflow.features.settings.schemas import PlatformPatch


def current(settings: Settings) -> Settings:
    """The settings in force right now."""
    changed = {row.name: row.value for row in db.session.scalars(select(PlatformSetting))}
    known = {name: value for name, value in changed.items() if name in PlatformPatch.model_fields}
    return settings.model_copy(update=known) if known else settings


@query(Permission.PLATFORM_MANAGE)
def show(actor: Actor, settings: Settings) -> Settings:
    return current(settings)


@use_case(Permission.PLATFORM_MANAGE)
def update(actor: Actor, settings: Settings, data: PlatformPatch) -> Settings:
    """Change the fields that were sent."""
    before = current(settings)
    for name, value in data.model_dump(exclude_unset=True, exclude_none=True).items():
        row = db.session.scalar(select(PlatformSetting).where(PlatformSetting.name == name))
        old = getattr(before, name)
        if old == value:
            continue
        if row is None:
            row = PlatformSetting(name=name, value=value)
            db.session.add(row)
        row.value = value
        db.session.flush()
        audit.record(actor, "platform.updated", row, {name: [old, value]})
    return current(settings)
