"""What administrators of the platform are told by mail, because nobody may be looking at a page."""

from __future__ import annotations

from sqlalchemy import select

from devflow.core.access import SYSTEM_ROLES, Actor, Permission
from devflow.core.db import db
from devflow.core.use_case import use_case
from devflow.features.accounts.models import User
from devflow.features.mail import service as mail

_ROLES = [role for role, rights in SYSTEM_ROLES.items() if Permission.PLATFORM_MANAGE in rights]


@use_case(Permission.PLATFORM_MANAGE)
def audit_broken(actor: Actor, says: str, what_to_do: str, at: str) -> None:
    """The chain of the audit is broken: a letter to everybody who looks after the platform."""
    when = f"{at[:16].replace('T', ' ')} UTC"
    active = select(User).where(User.is_active, User.role.in_(_ROLES)).order_by(User.id)
    for person in db.session.scalars(active).all():
        mail.send(
            person.email, "audit_broken", "The audit of DevFlow is broken",
            path="/admin/audit", name=person.name, says=says, what_to_do=what_to_do, when=when,
        )  # fmt: skip
