"""Confirm that an address belongs to whoever signed up with it."""

from __future__ import annotations

from dataclasses import replace

from devflow.core.access import Actor, Permission
from devflow.core.errors import Conflict, Forbidden
from devflow.core.settings import Settings
from devflow.core.use_case import use_case
from devflow.features.accounts.models import User
from devflow.features.accounts.service import mailed
from devflow.features.accounts.service.people import find
from devflow.features.audit import service as audit
from devflow.features.mail import service as mail


def send_link(user: User, *, asked: bool = False) -> None:
    """Mail the link that confirms the address, in the running transaction; an earlier one dies. `asked`: see mail."""
    mailed.drop(user.id, mailed.VERIFY)
    value, row = mailed.make(user, mailed.VERIFY)
    mail.send(
        user.email, "verify_email", "Confirm your address", path=f"/verify-email?token={value}",
        until=row.expires_at, reader=mailed.reader_of(user), asked=asked, name=user.name,
    )  # fmt: skip


@use_case(Permission.ACCOUNT_MANAGE)
def resend(actor: Actor) -> User:
    """Mail the link once more."""
    user = find(actor.id)
    if user.email_verified:
        raise Conflict("This address is confirmed already.")
    send_link(user, asked=True)
    audit.record(actor, "account.verification_sent", user)
    return user


@use_case(Permission.ACCOUNT_RECOVER)
def verify(actor: Actor, token: str) -> User:
    """The address of this link is confirmed; the link is used up."""
    user = mailed.use(token, mailed.VERIFY)
    user.email_verified = True
    mailed.drop(user.id, mailed.VERIFY)
    owner = replace(actor, id=user.id, name=user.name, email=user.email)
    audit.record(owner, "account.email_verified", user, {"email_verified": [False, True]})
    return user


def require_verified(actor: Actor, settings: Settings) -> None:
    """Raises Forbidden when this person has not confirmed their address although mail works here (DESIGN 9.10).

    Called by use cases that reach other people or run code: deploying, inviting.
    """
    if settings.smtp_host and not actor.everything and not find(actor.id).email_verified:
        text = f"Confirm your address first: the link is in the mail to {actor.email}. Settings can send it again."
        raise Forbidden(text, code="EMAIL_NOT_VERIFIED")
