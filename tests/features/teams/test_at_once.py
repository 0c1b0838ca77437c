"""The same from two tabs at the same moment, on both databases: the rules hold as if one had come after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from devflow.core.db import db
from devflow.features.teams.models import Member, Team
from tests.at_once import at_once
from tests.conftest import PASSWORD, Person


@pytest.fixture
def settings(each_store: dict[str, Any]) -> dict[str, Any]:
    return each_store


def places(app: Flask, team: str) -> dict[str, str]:
    with app.app_context():
        rows = db.session.scalars(select(Member).where(Member.team_id == team, Member.status == "active"))
        return {row.user_id or "": row.id for row in rows}


@pytest.mark.parametrize("act", ["leave", "demote each other", "remove each other", "delete the account"])
def test_a_team_never_loses_its_last_owner(
    app: Flask, ann: Person, person: Callable[..., Person], join: Any, team: str, act: str
) -> None:
    bob, cleo, dora = person("Bob"), person("Cleo"), person("Dora")
    for who, role in ((bob, "owner"), (cleo, "owner"), (dora, "viewer")):
        join(who, team, role)
    ann.call("POST", f"/teams/{team}/leave")
    ids = places(app, team)
    if act == "leave":
        calls = [(who, "POST", f"/teams/{team}/leave", {}) for who in (bob, cleo)]
    elif act == "demote each other":
        pairs = ((bob, cleo), (cleo, bob))
        calls = [(who, "PATCH", f"/team/members/{ids[other.id]}/role", {"role": "viewer"}) for who, other in pairs]
    elif act == "remove each other":
        calls = [(who, "DELETE", f"/team/members/{ids[other.id]}", {}) for who, other in ((bob, cleo), (cleo, bob))]
    else:
        calls = [(who, "DELETE", "/user/account", {"password": PASSWORD}) for who in (bob, cleo)]
    answers = at_once(app, *calls)
    assert answers[0] == 200 and answers[1] in (403, 404, 409), answers
    with app.app_context():
        left = select(Member).where(Member.team_id == team, Member.role == "owner", Member.status == "active")
        assert len(list(db.session.scalars(left))) == 1


def test_an_address_is_invited_once(app: Flask, ann: Person, team: str) -> None:
    body = {"team_id": team, "email": "bob@example.com"}
    assert at_once(app, *[(ann, "POST", "/team/members", body)] * 4) == [201, 409, 409, 409]


def test_an_invitation_is_accepted_once(
    app: Flask, ann: Person, person: Callable[..., Person], team: str, token_for: Callable[[str], str]
) -> None:
    ann.call("POST", "/team/members", 201, team_id=team, email="bob@example.com")
    bob, path = person("Bob"), f"/team/invitations/{token_for('bob@example.com')}/accept"
    assert at_once(app, *[(bob, "POST", path, {})] * 4) == [200, 409, 409, 409]


def test_an_invitation_is_accepted_or_withdrawn(
    app: Flask, ann: Person, person: Callable[..., Person], team: str, token_for: Callable[[str], str]
) -> None:
    member = ann.call("POST", "/team/members", 201, team_id=team, email="bob@example.com")
    bob, path = person("Bob"), f"/team/invitations/{token_for('bob@example.com')}/accept"
    answers = at_once(app, (bob, "POST", path, {}), (ann, "DELETE", f"/team/members/{member['id']}", {}))
    assert answers in ([200, 200], [200, 404], [200, 409])
    assert bob.id not in places(app, team)  # it was withdrawn, or Bob was removed right after


def test_an_invitation_is_accepted_or_its_sender_demoted_first(
    app: Flask, ann: Person, person: Callable[..., Person], join: Any, team: str, token_for: Callable[[str], str]
) -> None:
    bob, cleo = person("Bob"), person("Cleo")
    join(bob, team, "admin")
    bob.call("POST", "/team/members", 201, team_id=team, email=cleo.email, role="admin")
    demote = (ann, "PATCH", f"/team/members/{places(app, team)[bob.id]}/role", {"role": "viewer"})
    accept = (cleo, "POST", f"/team/invitations/{token_for(cleo.email)}/accept", {})
    answers = at_once(app, accept, demote)
    assert answers in ([200, 200], [200, 409]) and (cleo.id in places(app, team)) is (answers == [200, 200])
    cleo.call("POST", accept[2], 409)


def test_a_team_is_deleted_once_and_nobody_joins_it(
    app: Flask, ann: Person, person: Callable[..., Person], team: str, token_for: Callable[[str], str]
) -> None:
    ann.call("POST", "/team/members", 201, team_id=team, email="bob@example.com")
    bob, path = person("Bob"), f"/team/invitations/{token_for('bob@example.com')}/accept"
    gone = (ann, "DELETE", f"/teams/{team}", {"confirm": "Storefront"})
    answers = at_once(app, gone, gone, (bob, "POST", path, {}))
    assert answers in ([200, 404, 404], [200, 200, 404])
    bob.call("GET", f"/team/members?team_id={team}", 404)
    with app.app_context():
        found = db.session.get(Team, team)
        assert found is not None and found.deleted_at is not None


def test_two_teams_of_one_name_are_two_teams(app: Flask, ann: Person) -> None:
    answers = at_once(app, *[(ann, "POST", "/teams", {"name": "Shop"})] * 3)
    assert answers == [201, 201, 201]
    assert {row["slug"] for row in ann.call("GET", "/teams")} == {"ann", "shop", "shop-2", "shop-3"}
