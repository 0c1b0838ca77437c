"""Sign-in by GitHub, end to end against a stand-in that answers over a socket."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pyotp
import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from devflow.core.crypto import vault
from devflow.core.db import db
from devflow.features.accounts.models import GithubConnection, User
from devflow.features.accounts.service.entering import may_join
from tests.conftest import PASSWORD, Person, csrf
from tests.features.accounts.github_fixture import Github, GithubUser, running_github
from tests.features.accounts.oauth_trips import (
    HTML,
    JSON,
    consent,
    csrf_in,
    said,
    trip,
    type_of_oauth,
    users,
    verified,
)


@pytest.fixture
def settings(provided: dict[str, Any]) -> dict[str, Any]:
    return provided


def test_the_first_one_to_come_by_github_is_the_administrator(app: Flask, github: Github) -> None:
    client = app.test_client()
    start = client.get("/api/auth/github", headers=HTML)
    asked = parse_qs(urlsplit(start.location).query)
    assert asked["scope"] == ["repo user:email"] and asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == ["http://localhost/api/auth/github/callback"]
    answer = client.get(consent(start.location), headers=HTML)
    assert answer.status_code == 302 and answer.location == "/dashboard"
    assert client.get("/dashboard").status_code == 200
    (user,) = users(app)
    assert (user.email, user.name, user.username) == ("octocat@example.com", "The Octocat", "octocat")
    assert user.role == "master_admin" and user.email_verified and user.password_hash is None
    with app.app_context():
        row = db.session.scalars(select(GithubConnection)).one()
        assert row.github_access_token not in github.tokens
        assert vault().open(row.github_access_token) in github.tokens
        assert row.scopes == "repo user:email"


def test_who_comes_again_is_the_same_account_whatever_the_address_is_now(app: Flask, github: Github) -> None:
    trip(app.test_client())
    github.user.emails = [{"email": "new@example.com", "primary": True, "verified": True}]
    assert trip(app.test_client()).location == "/dashboard"
    assert [user.email for user in users(app)] == ["octocat@example.com"]


def test_a_program_gets_json_there_and_back(app: Flask, github: Github) -> None:
    client = app.test_client()
    start = client.get("/api/v1/auth/github", headers=JSON).get_json()["data"]
    back = client.get(consent(start["authorization_url"]), headers=JSON)
    data = back.get_json()["data"]
    assert back.status_code == 200 and data["is_new_user"] is True and data["user"]["github_connected"] is True
    fresh = app.test_client()
    me = fresh.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {data['access_token']}"})
    assert me.get_json()["data"]["email"] == "octocat@example.com"
    again = client.get("/api/v1/auth/github", headers=JSON).get_json()["data"]
    assert client.get(consent(again["authorization_url"]), headers=JSON).get_json()["data"]["is_new_user"] is False


def test_a_verified_address_on_both_sides_is_the_same_person(app: Flask, ann: Person, github: Github) -> None:
    verified(app, ann)
    github.user.emails = [{"email": "Ann@Example.com", "primary": True, "verified": True}]
    assert trip(app.test_client()).location == "/dashboard"
    (user,) = users(app)
    assert user.id == ann.id and user.github_id == "583231" and user.password_hash is not None
    assert "account.connected" in [entry["action"] for entry in ann.call("GET", "/audit")]


@pytest.mark.parametrize(("here", "there"), [(True, False), (False, True), (False, False)])
def test_an_address_that_one_side_does_not_vouch_for_opens_nothing(
    app: Flask, ann: Person, github: Github, here: bool, there: bool
) -> None:
    if here:
        verified(app, ann)
    github.user.emails = [{"email": ann.email, "primary": True, "verified": there}]
    client = app.test_client()
    assert trip(client).location == "/login"
    assert "connect GitHub in the settings" in said(client)
    (user,) = users(app)
    assert user.github_id is None
    assert client.get("/dashboard").status_code == 302


def test_github_without_an_address_says_so(app: Flask, github: Github) -> None:
    github.user.emails = []
    client = app.test_client()
    assert trip(client).location == "/login" and users(app) == []
    assert "does not tell your e-mail address" in said(client)


def test_who_says_no_is_not_signed_in(app: Flask, github: Github) -> None:
    client = app.test_client()
    assert trip(client, no="1").location == "/login"
    assert "cancelled" in said(client) and users(app) == []
    start = client.get("/api/v1/auth/github", headers=JSON).get_json()["data"]
    answer = client.get(consent(start["authorization_url"], no="1"), headers=JSON)
    assert answer.status_code == 401 and answer.get_json()["error"]["code"] == "AUTHENTICATION_FAILED"


def test_a_callback_only_counts_in_the_browser_that_set_out(app: Flask, github: Github) -> None:
    attacker, victim = app.test_client(), app.test_client()
    start = attacker.get("/api/auth/github", headers=HTML)
    callback = consent(start.location)
    answer = victim.get(callback, headers=JSON)
    assert answer.status_code == 400 and answer.get_json()["error"]["code"] == "BAD_REQUEST"
    assert victim.get("/dashboard").status_code == 302 and users(app) == []
    assert "POST /login/oauth/access_token" not in github.asked  # the code was not even shown


@pytest.mark.parametrize("state", ["", "rubbish", "é", "gAAAAABnotours", "\x00"])
def test_a_wrong_state_is_refused(app: Flask, github: Github, state: str) -> None:
    answer = app.test_client().get(
        f"/api/auth/github/callback?{urlencode({'code': 'x', 'state': state})}", headers=JSON
    )
    assert answer.status_code in (400, 422), answer.text


def test_a_state_is_for_its_provider_only(app: Flask, github: Github) -> None:
    client = app.test_client()
    callback = consent(client.get("/api/auth/github", headers=HTML).location)
    assert client.get(callback.replace("github", "google"), headers=JSON).status_code == 400


def test_a_callback_counts_once(app: Flask, github: Github) -> None:
    client = app.test_client()
    callback = consent(client.get("/api/auth/github", headers=HTML).location)
    with_old_cookie = client.get_cookie("devflow")
    assert client.get(callback, headers=JSON).status_code == 200
    assert client.get(callback, headers=JSON).status_code == 400
    thief = app.test_client()
    thief.set_cookie("devflow", with_old_cookie.value if with_old_cookie else "")
    assert thief.get(callback, headers=JSON).status_code == 401  # the code itself works once
    assert len(users(app)) == 1


def test_who_stays_too_long_starts_again(app: Flask, github: Github) -> None:
    client = app.test_client()
    callback = consent(client.get("/api/auth/github", headers=HTML).location)
    with time_machine.travel(time.time() + 700):
        assert client.get(callback, headers=JSON).status_code == 400


@pytest.mark.parametrize(
    ("target", "lands"),
    [
        ("/projects?search=a", "/projects?search=a"),
        ("//evil.example", "/dashboard"),
        ("https://evil.example/", "/dashboard"),
        ("/\\evil.example", "/dashboard"),
        ("/\tevil", "/dashboard"),
        ("javascript:alert(1)", "/dashboard"),
    ],
)
def test_it_leads_on_to_paths_of_this_site_only(app: Flask, github: Github, target: str, lands: str) -> None:
    assert trip(app.test_client(), next=target).location == lands


def test_a_planted_cookie_is_worthless_after_the_sign_in(app: Flask, github: Github) -> None:
    client = app.test_client()
    client.get("/api/auth/github", headers=HTML)
    planted = client.get_cookie("devflow")
    assert planted is not None
    trip(client)
    attacker = app.test_client()
    attacker.set_cookie("devflow", planted.value)
    assert attacker.get("/dashboard").status_code == 302
    now = client.get_cookie("devflow")
    assert now is not None and now.value != planted.value


def test_a_provider_that_is_down_is_said_to_be(app: Flask, github: Github) -> None:
    client = app.test_client()
    callback = consent(client.get("/api/auth/github", headers=HTML).location)
    github.broken = True
    answer = client.get(callback, headers=JSON)
    assert answer.status_code == 503 and answer.get_json()["error"]["code"] == "EXTERNAL_SERVICE_ERROR"


def test_a_provider_that_cannot_be_reached_is_said_to_be(app: Flask, github: Github) -> None:
    with running_github() as other:
        gone = other.url
    assert gone != github.url
    port = urlsplit(gone).port
    app.extensions["devflow-ports"][type_of_oauth(app)]._github._url = f"http://127.0.0.1:{port}"
    client = app.test_client()
    start = client.get("/api/auth/github", headers=JSON).get_json()["data"]
    query = urlencode({"code": "x", "state": start["state"]})
    assert client.get(f"/api/auth/github/callback?{query}", headers=JSON).status_code == 503


def test_a_wrong_client_secret_is_told(app: Flask, github: Github) -> None:
    github.secret = "changed at github"
    client = app.test_client()
    callback = consent(client.get("/api/auth/github", headers=HTML).location)
    assert client.get(callback, headers=JSON).status_code == 401


def test_closed_sign_up_holds_for_github_too_unless_invited(app: Flask, ann: Person, github: Github) -> None:
    with_cookie = app.test_client()
    form = {"email": ann.email, "password": PASSWORD, "csrf_token": csrf(with_cookie)}
    with_cookie.post("/login", data=form)
    with_cookie.post("/admin", data={"sign_up": "closed", "csrf_token": csrf_in(with_cookie, "/admin")})
    client = app.test_client()
    assert trip(client).location == "/login" and "Sign-up is closed" in said(client)
    may_join.register(invited)
    try:
        start = client.get("/api/auth/github?invite_token=wrong", headers=HTML)
        assert client.get(consent(start.location), headers=JSON).status_code == 403
        start = client.get("/api/auth/github?invite_token=golden", headers=HTML)
        assert client.get(consent(start.location), headers=JSON).status_code == 200
        github.user = GithubUser(
            2, "mallory", None, [{"email": "octo2@example.com", "primary": True, "verified": False}]
        )
        start = client.get("/api/auth/github?invite_token=golden", headers=HTML)
        assert client.get(consent(start.location), headers=JSON).status_code == 403  # nobody vouches for the address
    finally:
        may_join._checkers.remove(invited)


def invited(email: str, token: str) -> bool:
    return token == "golden" and email.startswith("octo")


def test_who_is_switched_off_stays_out(app: Flask, ann: Person, github: Github) -> None:
    trip(app.test_client())
    with app.app_context():
        db.session.scalars(select(User).where(User.email == "octocat@example.com")).one().is_active = False
        db.session.commit()
    client = app.test_client()
    assert trip(client).location == "/login" and "switched off" in said(client)


def test_two_factor_holds_for_github_too(app: Flask, ann: Person, github: Github) -> None:
    codes = _switch_on(app, ann)
    verified(app, ann)
    github.user.emails = [{"email": ann.email, "primary": True, "verified": True}]
    client = app.test_client()
    assert trip(client, next="/projects").location == "/login/code?next=/projects"
    assert client.get("/dashboard").status_code == 302
    with app.app_context():  # without the code nothing has changed
        assert db.session.scalars(select(User.github_id).where(User.email == ann.email)).one() is None
    form = {"code": codes[0], "csrf_token": csrf(client)}
    assert client.post("/login/code?next=/projects", data=form).location == "/projects"


def _switch_on(app: Flask, who: Person) -> list[str]:
    secret = who.call("POST", "/auth/two-factor")["secret"]
    code = pyotp.TOTP(secret).now()
    codes: list[str] = who.call("POST", "/auth/two-factor/confirm", code=code)["recovery_codes"]
    return codes
