"""Give back at GitHub what somebody had granted DevFlow there, once it is not wanted any more."""

from __future__ import annotations

from sqlalchemy import select

from devflow.core.crypto import vault
from devflow.core.db import db
from devflow.core.ids import new_id
from devflow.core.use_case import emit
from devflow.features.accounts.events import GithubLeft
from devflow.features.accounts.models import GithubConnection, User
from devflow.ports.oauth import OAuth


def forget(user: User) -> None:
    """Drop what is kept of somebody's GitHub, in the running transaction; the worker gives the grant back after it."""
    row = db.session.scalar(select(GithubConnection).where(GithubConnection.user_id == user.id))
    if row is None:
        return
    emit(GithubLeft(user.github_id or "", row.github_access_token, new_id()))
    db.session.delete(row)


def give_back(oauth: OAuth, left: GithubLeft) -> None:
    """Revoke the grant, unless that GitHub account is connected here again: its new grant would go as well.

    Raises Unavailable while GitHub does not answer.
    """
    again = db.session.scalar(select(User.id).where(User.github_id == left.github_id))
    db.session.rollback()  # nobody waits for the provider with a transaction open
    if again is None and not oauth.missing("github"):
        oauth.revoke("github", vault().open(left.sealed_token))
