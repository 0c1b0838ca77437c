"""The rows an actor may do something to, as a condition: lists and counts are filtered in the query, never after it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_, true

from devflow.core.access import Actor, Permission


def reachable(actor: Actor, permission: Permission, team: Any, project: Any = None) -> ColumnElement[bool]:
    """Rows (by their columns `team` and `project`) of the actor's teams, and of single projects granted to them.

    What a role on the whole platform allows is left out: lists show what is somebody's own. An administrator reaches
    a foreign thing by its address, or a foreign team's list with `of_team`.
    """
    if actor.everything:
        return true()
    if actor.capped(permission):
        return false()
    found = _in_teams(actor, permission, team)
    if project is None:
        return found if actor.only_projects is None else false()
    granted = [key for key, rights in actor.projects.items() if permission in rights]
    if granted:
        found = or_(found, project.in_(granted))
    found = _but_taken(actor, permission, found, team, project)
    if actor.only_teams is not None:
        found = and_(found, team.in_(sorted(actor.only_teams)))
    if actor.only_projects is not None:
        found = and_(found, project.in_(sorted(actor.only_projects)))
    return found


def of_team(actor: Actor, permission: Permission, team_id: str, team: Any, project: Any = None) -> ColumnElement[bool]:
    """The same within one team, which may be a foreign one if the actor's role on the platform allows it."""
    limited = actor.only_projects is not None or (actor.only_teams is not None and team_id not in actor.only_teams)
    if permission in actor.platform and not actor.capped(permission) and not limited:
        return _but_taken(actor, permission, team == team_id, team, project)
    return and_(team == team_id, reachable(actor, permission, team, project))


def _but_taken(
    actor: Actor, permission: Permission, found: ColumnElement[bool], team: Any, project: Any
) -> ColumnElement[bool]:
    """Without what was expressly taken away, which wins over every role."""
    taken = sorted(key for key, rights in actor.removed.items() if permission in rights)
    if not taken:
        return found
    left = and_(found, team.not_in(taken))
    return left if project is None else and_(left, project.not_in(taken))


def _in_teams(actor: Actor, permission: Permission, team: Any) -> ColumnElement[bool]:
    mine = [
        key
        for key, rights in actor.teams.items()
        if permission in rights and permission not in actor.removed.get(key, frozenset())
    ]
    if actor.only_teams is not None:
        mine = [key for key in mine if key in actor.only_teams]
    if len(mine) == 1:
        equal: ColumnElement[bool] = team == mine[0]
        return equal  # lets an index give the order too
    found: ColumnElement[bool] = team.in_(mine)
    return found
