"""Invitations: one address, one role, one team, one week, once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from devflow.core.clock import now
from devflow.core.db import db
from devflow.core.settings import Settings
from devflow.features.accounts.models import User
from devflow.features.mail.models import Letter
from devflow.features.mail.service import MOST_AN_HOUR
from devflow.features.mail.tasks import rendered
from devflow.features.settings.models import PlatformSetting
from devflow.features.teams.models import Member
from devflow.web.ports import port
from tests.conftest import PASSWORD, Join, Person, csrf

Token = Callable[[str], str]
Make = Callable[..., Person]


def invite(who: Person, team: str, email: str = "bob@example.com", expect: int = 201, **more: Any) -> Any:
    return who.call("POST", "/team/members", expect, team_id=team, email=email, **more)


def preview(who: Person, token: str) -> Any:
    return who.client.get(f"/api/v1/team/invitations/{token}").get_json()


def test_nobody_floods_a_mailbox_by_inviting_it_again_and_again(app: Flask, ann: Person, team: str) -> None:
    member = ann.call("POST", "/team/members", 201, team_id=team, email="bob@example.com")
    for _ in range(MOST_AN_HOUR - 1):
        ann.call("POST", f"/team/invitations/{member['id']}/resend")
    ann.call("POST", f"/team/invitations/{member['id']}/resend", 429)
    other = ann.call("POST", "/teams", 201, name="Another")["id"]
    ann.call("POST", "/team/members", 429, team_id=other, email="bob@example.com")
    ann.call("POST", "/team/members", 201, team_id=other, email="eve@example.com")


def test_the_whole_way_of_an_invitation(ann: Person, person: Make, team: str, token_for: Token) -> None:
    member = invite(ann, team, role="developer", message="Hello")
    assert member["status"] == "pending" and member["role"] == "member" and member["user_id"] is None
    assert member["invited_by"]["name"] == "Ann" and member["invitation"]["sent"] is False
    token = token_for("bob@example.com")
    bob = person("Bob")
    for _ in range(3):  # programs that open links in mails use nothing up
        shown = preview(bob, token)["data"]
        assert shown["status"] == "pending" and shown["email"] == "bob@example.com"
        assert shown["team"] == {"name": "Storefront"} and shown["invited_by"] == {"name": "Ann"}
    assert bob.call("GET", "/teams")[0]["is_personal"] and len(bob.call("GET", "/teams")) == 1
    joined = bob.call("POST", f"/team/invitations/{token}/accept")
    assert joined["status"] == "active" and joined["team"]["name"] == "Storefront" and joined["joined_at"]
    assert [row["role"] for row in bob.call("GET", "/teams")] == ["owner", "member"]
    again = bob.call("POST", f"/team/invitations/{token}/accept", 409)
    assert again["code"] == "INVALID_STATE"
    assert preview(bob, token)["data"]["status"] == "accepted"
    assert preview(bob, token)["data"]["email"] == "b…@example.com"  # an old link tells no address


def test_another_address_may_not_accept_and_does_not_learn_the_address(
    ann: Person, person: Make, team: str, token_for: Token
) -> None:
    invite(ann, team)
    eve = person("Eve")
    error = eve.call("POST", f"/team/invitations/{token_for('bob@example.com')}/accept", 403)
    assert error["code"] == "FORBIDDEN" and "bob@example.com" not in error["message"]
    assert len(eve.call("GET", "/teams")) == 1


def test_rubbish_and_withdrawn_links_lead_nowhere(ann: Person, person: Make, team: str, token_for: Token) -> None:
    member = invite(ann, team)
    token = token_for("bob@example.com")
    ann.call("DELETE", f"/team/members/{member['id']}")
    bob = person("Bob")
    for key in (token, "rubbish", "%F0%9F%92%A9", "x" * 500, member["id"]):
        assert preview(bob, key)["success"] is False
        assert bob.call("POST", f"/team/invitations/{key}/accept", 404)["code"] == "RESOURCE_NOT_FOUND"


def test_a_week_later_the_link_is_dead_and_one_can_be_invited_again(
    app: Flask, ann: Person, person: Make, team: str, token_for: Token
) -> None:
    invite(ann, team)
    assert invite(ann, team, expect=409)["code"] == "CONFLICT"
    token, bob = token_for("bob@example.com"), person("Bob")
    with app.app_context():
        db.session.execute(update(Member).where(Member.status == "pending").values(expires_at=now()))
        db.session.commit()
    assert preview(bob, token)["data"]["status"] == "expired"
    assert bob.call("POST", f"/team/invitations/{token}/accept", 409)["code"] == "INVALID_STATE"
    invite(ann, team, role="viewer")
    assert preview(bob, token)["success"] is False
    assert bob.call("POST", f"/team/invitations/{token_for('bob@example.com')}/accept")["role"] == "viewer"


def test_an_invitation_lives_for_exactly_a_week(ann: Person, team: str, token_for: Token) -> None:
    member = invite(ann, team)
    token = token_for("bob@example.com")
    with time_machine.travel(now() + timedelta(days=7, seconds=-60), tick=True):
        assert preview(ann, token)["data"]["status"] == "pending"
    with time_machine.travel(now() + timedelta(days=7, seconds=1), tick=True):
        assert preview(ann, token)["data"]["status"] == "expired"
    assert member["expires_at"] == member["invitation"]["expires_at"]


def test_sending_again_kills_the_old_link(ann: Person, person: Make, team: str, token_for: Token) -> None:
    member = invite(ann, team)
    old = token_for("bob@example.com")
    assert ann.call("POST", f"/team/invitations/{member['id']}/resend")["invitation"]["sent"] is False
    bob = person("Bob")
    assert bob.call("POST", f"/team/invitations/{old}/accept", 404)
    bob.call("POST", f"/team/invitations/{token_for('bob@example.com')}/accept")
    assert ann.call("POST", f"/team/invitations/{member['id']}/resend", 409)["code"] == "INVALID_STATE"


def test_who_was_removed_can_be_invited_again(ann: Person, person: Make, team: str, token_for: Token) -> None:
    bob, first = person("Bob"), invite(ann, team)
    bob.call("POST", f"/team/invitations/{token_for('bob@example.com')}/accept")
    assert invite(ann, team, expect=409)["code"] == "CONFLICT"
    ann.call("DELETE", f"/team/members/{first['id']}")
    assert bob.call("GET", f"/team/members?team_id={team}", 404)
    again = invite(ann, team, role="admin")
    assert again["id"] == first["id"] and again["user_id"] is None  # whether there is an account is not told
    assert bob.call("POST", f"/team/invitations/{token_for('bob@example.com')}/accept")["role"] == "admin"


@pytest.mark.parametrize(
    ("role", "given", "status"),
    [("viewer", "viewer", 403), ("member", "viewer", 403), ("admin", "admin", 201), ("admin", "owner", 403)],
)
def test_nobody_gives_a_role_above_their_own(
    ann: Person, person: Make, team: str, join: Join, role: str, given: str, status: int
) -> None:
    bob = person("Bob")
    join(bob, team, role)
    invite(bob, team, "cleo@example.com", status, role=given)


@pytest.mark.parametrize(
    "body",
    [
        {"email": "not an address"}, {"email": "bob@example.com\nBcc: all@example.com"},
        {"email": "bob@example.com", "role": "emperor"}, {"email": "bob@example.com", "name": "B\r\nob"}, {},
        {"email": "bob@example.com", "message": "x" * 1001}, {"email": "bob@example.com", "message": "a\x00b"},
    ],
)  # fmt: skip
def test_rubbish_is_refused(ann: Person, team: str, body: dict[str, Any]) -> None:
    assert ann.call("POST", "/team/members", 422, team_id=team, **body)["code"] == "VALIDATION_ERROR"


def test_a_foreign_team_is_not_there(ann: Person, person: Make, team: str) -> None:
    member, bob = invite(ann, team, "cleo@example.com"), person("Bob")
    invite(bob, team, "dora@example.com", 404)
    for method, path, body in (
        ("GET", f"/team/members/{member['id']}", {}), ("DELETE", f"/team/members/{member['id']}", {}),
        ("PATCH", f"/team/members/{member['id']}/role", {"role": "owner"}),
        ("GET", f"/team/members?team_id={team}", {}),
        ("POST", f"/team/invitations/{member['id']}/resend", {}), ("POST", f"/teams/{team}/leave", {}),
        ("GET", f"/team/activity-logs?team_id={team}", {}), ("DELETE", f"/teams/{team}", {"confirm": "Storefront"}),
        ("GET", f"/team/invitations/pending?team_id={team}", {}),
    ):  # fmt: skip
        assert bob.call(method, path, 404, **body)["code"] == "RESOURCE_NOT_FOUND", path


def test_an_invitation_opens_a_closed_sign_up(app: Flask, ann: Person, team: str, token_for: Token) -> None:
    invite(ann, team)
    token = token_for("bob@example.com")
    with app.app_context():
        db.session.add(PlatformSetting(name="sign_up", value="closed"))
        db.session.commit()
    body = {"name": "Bob", "email": "bob@example.com", "password": PASSWORD}
    register = "/api/v1/auth/register"
    assert app.test_client().post(register, json=body).status_code == 403
    assert app.test_client().post(register, json={**body, "invite_token": "rubbish"}).status_code == 403
    other = {**body, "email": "eve@example.com", "invite_token": token}
    assert app.test_client().post(register, json=other).status_code == 403
    assert app.test_client().post(register, json={**body, "invite_token": token}).status_code == 201


def test_accepted_in_two_tabs_at_once_it_counts_once(
    app: Flask, ann: Person, person: Make, team: str, token_for: Token
) -> None:
    invite(ann, team)
    bob, token = person("Bob"), token_for("bob@example.com")
    headers = {"Authorization": f"Bearer {bob.token}"}

    def accept(_: int) -> int:
        return app.test_client().post(f"/api/v1/team/invitations/{token}/accept", headers=headers).status_code

    with ThreadPoolExecutor(4) as tabs:
        assert sorted(tabs.map(accept, range(4))) == [200, 409, 409, 409]
    with app.app_context():
        assert len(list(db.session.scalars(select(Member).where(Member.team_id == team)))) == 2


def test_open_invitations_show_to_the_team_and_to_a_verified_address_only(
    app: Flask, ann: Person, person: Make, team: str
) -> None:
    member, bob = invite(ann, team), person("Bob")
    assert [row["id"] for row in ann.call("GET", f"/team/invitations/pending?team_id={team}")] == [member["id"]]
    assert bob.call("GET", "/team/invitations/pending") == []  # anybody could have typed this address
    with app.app_context():
        db.session.execute(update(User).where(User.id == bob.id).values(email_verified=True))
        db.session.commit()
    assert [row["id"] for row in bob.call("GET", "/team/invitations/pending")] == [member["id"]]
    assert bob.call("POST", f"/team/invitations/{member['id']}/accept")["team"]["name"] == "Storefront"


def test_the_page_of_an_invitation_in_all_its_states(
    app: Flask, ann: Person, person: Make, team: str, token_for: Token, browser: Callable[[Person], FlaskClient]
) -> None:
    invite(ann, team, message="<b>Welcome</b>")
    token = token_for("bob@example.com")
    address = f"/invitations/{token}"
    outside = app.test_client().get(address)
    assert outside.status_code == 200 and "Create an account" in outside.text and "&lt;b&gt;Welcome" in outside.text
    bob, eve = browser(person("Bob")), browser(person("Eve"))
    assert "This is for another address" in eve.get(address).text
    page = bob.get(address).text
    assert "Accept and join" in page
    csrf_token = page.split('name="csrf_token"', 1)[1].split('value="', 1)[1].split('"', 1)[0]
    answer = bob.post(f"{address}/accept", data={"csrf_token": csrf_token})
    assert answer.status_code == 303 and answer.location == "/team"
    assert "Storefront" in bob.get("/team").text  # the switcher has moved there
    assert "You are in" in bob.get(address).text
    assert app.test_client().get("/invitations/rubbish").status_code == 404


class TestWithMail:
    """Where a mail server is set, only verified people invite."""

    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"smtp_host": "127.0.0.1", "smtp_port": 1}

    def test_inviting_needs_a_verified_address(self, app: Flask, ann: Person, team: str) -> None:
        assert invite(ann, team, expect=403)["code"] == "EMAIL_NOT_VERIFIED"
        with app.app_context():
            db.session.execute(update(User).where(User.id == ann.id).values(email_verified=True))
            db.session.commit()
        assert invite(ann, team)["invitation"]["sent"] is True


def test_the_letter_says_who_invites_where_and_how_long(app: Flask, ann: Person, team: str) -> None:
    ann.call("PUT", "/user/profile", name="Ann <b>Lovelace</b>")
    ann.call("PATCH", f"/teams/{team}", name="Shop & Söhne")
    member = invite(ann, team, role="viewer", message="Line one\nBcc: all@example.com\n<script>alert(1)</script>")
    with app.app_context(), app.test_request_context():
        letter = db.session.scalars(select(Letter).where(Letter.template == "invitation")).one()
        message = rendered(letter, port(Settings))
        assert letter.expires_at == db.session.get(Member, member["id"]).expires_at  # type: ignore[union-attr]
    assert message.subject == "Ann <b>Lovelace</b> invites you to Shop & Söhne" and message.to == "bob@example.com"
    assert "as viewer" in message.text and "Line one\nBcc:" in message.text and "/invitations/" in message.text
    assert "<script>" not in message.html and "Ann &lt;b&gt;Lovelace" in message.html


def test_the_link_to_pass_on_leads_here_whatever_host_was_asked_for(
    app: Flask, ann: Person, browser: Callable[[Person], FlaskClient]
) -> None:
    client = browser(ann)
    form = {"email": "bob@example.com", "role": "viewer", "csrf_token": csrf(client)}
    cookie = client.get_cookie("devflow")
    assert cookie is not None
    client.set_cookie("devflow", cookie.value, domain="evil.example")
    page = client.post("/team/invite", data=form, base_url="http://evil.example").text
    with app.app_context():
        assert f"{port(Settings).page_url}/invitations/" in page and "evil.example/invitations" not in page
