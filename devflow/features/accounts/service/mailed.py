"""Links that are mailed: made, kept as a digest only, used once."""

from __future__ import annotations

import secrets
from datetime import timedelta

from sqlalchemy import delete, func, select, update

from devflow.core.access import Permission
from devflow.core.clock import now
from devflow.core.crypto import digest
from devflow.core.db import db, transaction
from devflow.core.errors import Invalid
from devflow.features.accounts.models import EmailToken, User

VERIFY, RESET = "verify_email", "reset_password"
LIFETIMES = {VERIFY: timedelta(days=3), RESET: timedelta(hours=1)}
DEAD = "This link is not valid any more: it was used, has expired or was replaced by a newer one."


def make(user: User, purpose: str) -> tuple[str, EmailToken]:
    """A fresh token for a link to this user's address, and its row; only the letter will know the token."""
    value = secrets.token_urlsafe(32)
    row = EmailToken(
        user_id=user.id, purpose=purpose, digest=digest(value), email=user.email, expires_at=now() + LIFETIMES[purpose]
    )
    db.session.add(row)
    db.session.flush()
    return value, row


def live(value: str, purpose: str) -> bool:
    """Would this token be accepted now? Nothing is used up."""
    good = (EmailToken.digest == digest(value), EmailToken.purpose == purpose)
    fresh = (EmailToken.used_at.is_(None), EmailToken.expires_at > now())
    return db.session.scalar(select(EmailToken.id).where(*good, *fresh)) is not None


def count_live(user_id: str, purpose: str) -> int:
    """How many links of this kind could still be used."""
    mine = (EmailToken.user_id == user_id, EmailToken.purpose == purpose)
    fresh = (EmailToken.used_at.is_(None), EmailToken.expires_at > now())
    return db.session.scalar(select(func.count()).select_from(EmailToken).where(*mine, *fresh)) or 0


def use(value: str, purpose: str) -> User:
    """Use a token up and say whose it is; of two at the same moment only one succeeds. Raises Invalid."""
    key = (EmailToken.digest == digest(value), EmailToken.purpose == purpose)
    fresh = (EmailToken.used_at.is_(None), EmailToken.expires_at > now())
    used = db.session.execute(update(EmailToken).where(*key, *fresh).values(used_at=now()))
    row = db.session.scalar(select(EmailToken).where(*key)) if getattr(used, "rowcount", 0) else None
    user = db.session.get(User, row.user_id) if row else None
    if row is None or user is None or user.is_service or not user.is_active or user.email != row.email:
        raise Invalid(DEAD, {"token": [DEAD]})
    return user


def drop(user_id: str, purpose: str) -> None:
    """Let every link of this kind die."""
    db.session.execute(delete(EmailToken).where(EmailToken.user_id == user_id, EmailToken.purpose == purpose))


def forget_expired() -> None:
    """Drop the rows of links that expired."""
    with transaction():
        db.session.execute(delete(EmailToken).where(EmailToken.expires_at < now()))


def reader_of(user: User) -> Permission:
    """What an administrator needs to see a link that opens this account: no less than its own rights."""
    return Permission.USERS_PROMOTE if user.role == "master_admin" else Permission.PLATFORM_MANAGE
