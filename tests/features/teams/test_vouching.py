"""An invitation gives no more than its sender could give now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from devflow.core.db import db
from devflow.features.settings.models import PlatformSetting
from devflow.features.teams.models import Member
from tests.conftest import PASSWORD, Join, Person

Token = Callable[[str], str]
Make = Callable[..., Person]


@pytest.fixture
def bob(ann: Person, person: Make, join: Join, team: str) -> Person:
    """An administrator of Ann's team, who has invited Cleo as administrator."""
    bob = person("Bob")
    join(bob, team, "admin")
    bob.call("POST", "/team/members", 201, team_id=team, email="cleo@example.com", role="admin")
    return bob


def place(app: Flask, team: str, email: str) -> str:
    with app.app_context():
        found = db.session.scalar(select(Member.id).where(Member.team_id == team, Member.email == email))
        db.session.remove()
        return str(found)


def status(who: Person, team: str) -> list[str]:
    return [row["status"] for row in who.call("GET", f"/team/invitations/pending?team_id={team}")]


def demoted(app: Flask, ann: Person, bob: Person, team: str) -> None:
    ann.call("PATCH", f"/team/members/{place(app, team, bob.email)}/role", role="member")


def removed(app: Flask, ann: Person, bob: Person, team: str) -> None:
    ann.call("DELETE", f"/team/members/{place(app, team, bob.email)}")


def switched_off(app: Flask, ann: Person, bob: Person, team: str) -> None:
    ann.call("PATCH", f"/users/{bob.id}", is_active=False)


def gone(app: Flask, ann: Person, bob: Person, team: str) -> None:
    bob.call("DELETE", "/user/account", password=PASSWORD)


def withheld(app: Flask, ann: Person, bob: Person, team: str) -> None:
    role = ann.call("POST", "/security/roles", 201, name="Inviting", permissions=["members:manage"])["id"]
    ann.call("POST", f"/security/users/{bob.id}/roles/{role}", team_id=team, effect="remove")


@pytest.mark.parametrize("lose", [demoted, removed, switched_off, gone, withheld])
def test_it_ends_with_the_rights_of_its_sender(
    app: Flask, ann: Person, bob: Person, person: Make, team: str, token_for: Token, lose: Callable[..., None]
) -> None:
    cleo, token = person("Cleo"), token_for("cleo@example.com")
    assert status(ann, team) == ["pending"]
    lose(app, ann, bob, team)
    assert status(ann, team) == ["ended"]
    shown = cleo.call("GET", f"/team/invitations/{token}")
    assert shown["status"] == "ended" and shown["email"] == "c…@example.com"
    error = cleo.call("POST", f"/team/invitations/{token}/accept", 409)
    assert error["code"] == "INVALID_STATE" and "Ask for another" in error["message"]
    assert [row["is_personal"] for row in cleo.call("GET", "/teams")] == [True]
    sent = ann.call("POST", f"/team/invitations/{place(app, team, 'cleo@example.com')}/resend")
    assert sent["status"] == "pending" and sent["invited_by"]["name"] == "Ann"
    assert cleo.call("POST", f"/team/invitations/{token_for('cleo@example.com')}/accept")["role"] == "admin"


def test_it_counts_again_with_the_rights(app: Flask, ann: Person, bob: Person, person: Make, team: str) -> None:
    switched_off(app, ann, bob, team)
    assert status(ann, team) == ["ended"]
    ann.call("PATCH", f"/users/{bob.id}", is_active=True)
    assert status(ann, team) == ["pending"]


def test_a_lesser_role_than_the_sender_s_stays_good(
    app: Flask, ann: Person, bob: Person, person: Make, team: str, join: Join
) -> None:
    dora = person("Dora")
    join(dora, team, "owner")
    dora.call("POST", "/team/members", 201, team_id=team, email="eve@example.com", role="viewer")
    ann.call("PATCH", f"/team/members/{place(app, team, dora.email)}/role", role="admin")
    assert status(ann, team) == ["pending", "pending"]


def test_who_changes_what_it_gives_vouches_for_it(app: Flask, ann: Person, bob: Person, team: str) -> None:
    invited = place(app, team, "cleo@example.com")
    changed = ann.call("PATCH", f"/team/members/{invited}/role", role="owner")
    assert changed["invited_by"]["name"] == "Ann" and status(ann, team) == ["pending"]


def test_an_ended_one_can_be_made_anew(app: Flask, ann: Person, bob: Person, team: str) -> None:
    body: dict[str, Any] = {"team_id": team, "email": "cleo@example.com"}
    ann.call("POST", "/team/members", 409, **body)
    demoted(app, ann, bob, team)
    assert ann.call("POST", "/team/members", 201, **body)["role"] == "member"
    assert status(ann, team) == ["pending"]


def test_it_opens_no_closed_sign_up_any_more(app: Flask, ann: Person, bob: Person, team: str, token_for: Token) -> None:
    with app.app_context():
        db.session.add(PlatformSetting(name="sign_up", value="closed"))
        db.session.commit()
    removed(app, ann, bob, team)
    body = {"name": "Cleo", "email": "cleo@example.com", "password": PASSWORD}
    body["invite_token"] = token_for("cleo@example.com")
    assert app.test_client().post("/api/v1/auth/register", json=body).status_code == 403


def test_the_pages_say_so(
    app: Flask, ann: Person, bob: Person, person: Make, team: str, token_for: Token,
    browser: Callable[[Person], FlaskClient],
) -> None:  # fmt: skip
    cleo = person("Cleo")
    with app.app_context():
        db.session.execute(db.text("update users set email_verified = true"))
        db.session.commit()
    inside, outside = browser(cleo), app.test_client()
    assert "You are invited to Storefront" in inside.get("/team").text
    demoted(app, ann, bob, team)
    assert "You are invited to Storefront" not in inside.get("/team").text
    for client in (inside, outside):
        page = client.get(f"/invitations/{token_for('cleo@example.com')}").text
        assert "This invitation has ended" in page and "Bob may not give this role in Storefront any more" in page
        assert "cleo@example.com" not in page.partition("<main")[2]
    members = browser(ann)
    with members.session_transaction() as kept:
        kept["team"] = team
    assert "Bob may not give this role any more" in members.get("/team").text
