"""What happens to tokens with time: letters before they end, the end with a membership, and being forgotten."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import ColumnElement, delete, or_, select

from devflow.core.access import SYSTEM, Actor, Permission
from devflow.core.clock import now
from devflow.core.db import db, transaction
from devflow.core.use_case import use_case
from devflow.features.accounts.service import people
from devflow.features.tokens import rules
from devflow.features.tokens.models import ApiToken, TokenUsage
from devflow.features.tokens.service.owning import end
from devflow.features.tokens.service.telling import tell

USAGE_KEPT = timedelta(days=100)
DEAD_KEPT = timedelta(days=90)
"""How long an ended token stays in its owner's list."""


def remind() -> int:
    """Tell owners whose tokens end soon (14, 7 and 1 days before, once each); returns how many letters."""
    soon = now() + timedelta(days=max(rules.REMINDERS))
    rows = select(ApiToken.id).where(
        ApiToken.revoked_at.is_(None), ApiToken.expires_at > now(), ApiToken.expires_at <= soon
    )
    ids = list(db.session.scalars(rows.order_by(ApiToken.id)))
    return sum(_remind(SYSTEM, token_id) for token_id in ids)


@use_case(Permission.TOKENS_MANAGE)
def _remind(actor: Actor, token_id: str) -> int:
    token = db.session.get(ApiToken, token_id, with_for_update=True, populate_existing=True)
    if token is None or token.revoked_at or token.expires_at is None:
        return 0
    life = token.expires_at - (token.rotated_at or token.created_at)
    due = rules.reminder(token.expires_at - now(), life, token.reminded_days)
    if due is None or people.by_id(token.user_id) is None:
        return 0
    token.reminded_days = due
    used = f"{token.last_used_at:%Y-%m-%d}" if token.last_used_at else ""
    when = f"{token.expires_at:%Y-%m-%d %H:%M} UTC"
    return tell(token, "token_expires", "expires soon", days=due, when=when, used=used)


@use_case(Permission.TOKENS_MANAGE)
def end_in_team(actor: Actor, user_id: str, team_id: str) -> None:
    """Revoke somebody's tokens that were made for one team, because they have left it."""
    _end(actor, "Its owner has left the team", ApiToken.user_id == user_id, ApiToken.team_id == team_id)


@use_case(Permission.TOKENS_MANAGE)
def end_all(actor: Actor, user_id: str) -> None:
    """Revoke all of somebody's tokens, because the account has come to the owner of its address."""
    _end(actor, "Made before the address of the account was confirmed", ApiToken.user_id == user_id)


def _end(actor: Actor, why: str, *which: ColumnElement[bool]) -> None:
    rows = select(ApiToken).where(ApiToken.revoked_at.is_(None), *which).order_by(ApiToken.id)
    for token in db.session.scalars(rows.with_for_update()):
        end(actor, token, why)


def forget_old() -> int:
    """Drop figures nobody can ask for any more, and tokens that ended long ago; returns how many tokens."""
    with transaction():
        db.session.execute(delete(TokenUsage).where(TokenUsage.day < (now() - USAGE_KEPT).date()))
        dead = or_(ApiToken.revoked_at < now() - DEAD_KEPT, ApiToken.expires_at < now() - DEAD_KEPT)
        gone = db.session.execute(delete(ApiToken).where(dead))
    return getattr(gone, "rowcount", 0)
