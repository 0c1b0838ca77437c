"""Letters to the owner when the way into their account has changed: a stranger's change does not stay unseen."""

from __future__ import annotations

from devflow.core.access import Actor
from devflow.core.clock import now
from devflow.features.accounts.models import User
from devflow.features.mail import service as mail


def changed(actor: Actor, user: User, what: str) -> None:
    """Tell somebody what was changed about signing in to their account, in the running transaction."""
    mail.send(
        user.email, "sign_in_changed", what, path="/forgot-password", what=what, name=user.name,
        when=f"{now():%Y-%m-%d %H:%M} UTC", ip=actor.ip or "unknown",
    )  # fmt: skip
