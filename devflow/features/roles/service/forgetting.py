"""What roles leave behind when somebody leaves a team, or the team goes."""

from __future__ import annotations

from sqlalchemy import delete

from devflow.core.db import db
from devflow.features.roles.models import Assignment, Guest


def forget_member(user_id: str, email: str, team_id: str) -> None:
    """Take back what was given to somebody in a team and on its projects; what was taken away stays taken away."""
    given = (Assignment.user_id == user_id, Assignment.team_id == team_id, Assignment.effect == "grant")
    db.session.execute(delete(Assignment).where(*given))
    db.session.execute(delete(Guest).where(Guest.email == email, Guest.team_id == team_id))


def forget_team(team_id: str) -> None:
    """Take back everything that was given in a team and on its projects."""
    db.session.execute(delete(Assignment).where(Assignment.team_id == team_id))
    db.session.execute(delete(Guest).where(Guest.team_id == team_id))
