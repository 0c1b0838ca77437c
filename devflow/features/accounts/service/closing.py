"""The end of an account."""

from __future__ import annotations

from sqlalchemy import delete

from devflow.core.access import Actor
from devflow.core.db import db
from devflow.core.epoch import rights_changed
from devflow.core.errors import Stale
from devflow.core.use_case import emit
from devflow.features.accounts.events import AccountDeleted
from devflow.features.accounts.models import User
from devflow.features.accounts.service import confirming, people, returning
from devflow.features.accounts.service.administering import keep_an_administrator
from devflow.features.accounts.service.guarding import Guard
from devflow.features.audit import service as audit


def prove(actor: Actor, password: str, guard: Guard) -> None:
    """Raises unless this is really the person: by their password, or in a session proved a short while ago."""
    if password:
        confirming.check_password(actor, password, guard)
    elif actor.token_id is not None or not actor.fresh:
        raise Stale("Confirm that it is you first: it has been a while since you signed in.")


def close(actor: Actor) -> None:
    """Delete the actor's account, in the running transaction; its sessions and tokens go with it.

    What it did stays in the ledger, with the name and address it had.
    """
    user = people.find(actor.id)
    if user.role == "master_admin":
        keep_an_administrator(user)
    audit.record(actor, "account.deleted", user)
    emit(AccountDeleted(user.id, user.email))
    returning.forget(user)
    db.session.flush()
    db.session.execute(delete(User).where(User.id == user.id))
    db.session.expire_all()
    rights_changed()
