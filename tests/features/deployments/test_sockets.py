"""What the sockets of deployments ask for all the time stays cheap however many deployments there are."""

from __future__ import annotations

from flask import Flask
from sqlalchemy import text
from sqlalchemy.dialects import sqlite

from devflow.core.db import db
from devflow.features.deployments.sockets import _changes, _moves
from tests.conftest import Person


def test_the_bell_of_the_list_reads_active_deployments_only(app: Flask) -> None:
    asked = str(_moves(("team",)).compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    with app.app_context():
        plan = db.session.execute(text(f"explain query plan {asked}")).all()
    assert "(team_id=? AND status=?)" in plan[0][3]


def test_the_bell_rings_when_a_deployment_moves(app: Flask, ann: Person) -> None:
    project = ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git", name="Shop")
    teams = (project["team_id"],)
    with app.app_context():
        seen = [_changes(teams).version]
        deployment = ann.call("POST", "/projects/shop/deploy", 201)
        seen.append(_changes(teams).version)
        ann.call("POST", f"/deployments/{deployment['id']}/cancel")
        db.session.rollback()
        seen.append(_changes(teams).version)
    assert seen[1] not in (seen[0], seen[2]) and seen[0] == seen[2] == ("None", 0)
