"""Accounts over the API: register, sign in, refresh, sign out."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from devflow.core.db import db
from devflow.features.accounts import rules
from devflow.features.accounts.models import LoginSession
from devflow.features.accounts.service import people
from tests.conftest import PASSWORD, Person, csrf


def test_the_first_account_is_the_administrator_and_only_that(person: Callable[..., Person]) -> None:
    assert person("Ann").call("GET", "/auth/me")["role"] == "master_admin"
    assert person("Bob").call("GET", "/auth/me")["role"] == "user"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "Ann", "email": "not an address", "password": PASSWORD},
        {"name": "Ann", "email": "a@b@c.de", "password": PASSWORD},
        {"name": "Ann", "email": "ann@nodots", "password": PASSWORD},
        {"name": "Ann", "email": "änn@example.com", "password": PASSWORD},
        {"name": "Ann", "email": "ann@example.com", "password": "short"},
        {"name": "", "email": "ann@example.com", "password": PASSWORD},
    ],
)
def test_rubbish_is_refused(app: Flask, body: dict[str, Any]) -> None:
    assert app.test_client().post("/api/v1/auth/signup", json=body).status_code == 422


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/auth/register", {}, {"name", "email", "password"}),
        ("/auth/signup", {"full_name": " ", "email": "b@example.com", "password": PASSWORD}, {"name"}),
        ("/auth/google", {}, {"token"}),
        ("/auth/reset-password", {}, {"token", "password"}),
        ("/auth/reset-password", {"token": "x"}, {"password"}),
        ("/auth/confirm", {}, {"password", "code"}),
        ("/dev/tokens", {"scopes": ["nothing"]}, {"name", "scopes.0"}),
        ("/dev/tokens", {"name": "ci", "scopes": []}, {"scopes"}),
        ("/teams", {"name": "a\0b", "slug": "ab"}, {"name"}),
        ("/user/preferences", {"theme": "blue"}, {"theme"}),
        ("/user/profile", {"avatar_url": "http://example.com/a.png"}, {"avatar_url"}),
    ],
)
def test_every_field_that_is_lacking_or_wrong_is_named(
    ann: Person, path: str, body: dict[str, Any], named: set[str]
) -> None:
    error = ann.call("PUT" if path.startswith("/user/") else "POST", path, 422, **body)
    errors = error["details"]["errors"]
    assert {one["field"] for one in errors} == named
    assert not any("List should" in one["message"] or "not written as" in one["message"] for one in errors)


def test_one_address_is_one_account_however_it_is_spelt(app: Flask, ann: Person) -> None:
    again = {"name": "Ann", "email": " ANN@Example.com ", "password": PASSWORD}
    answer = app.test_client().post("/api/v1/auth/register", json=again)
    assert answer.status_code == 409 and answer.get_json()["error"]["code"] == "CONFLICT"


def test_a_wrong_password_and_an_unknown_address_answer_alike(app: Flask, ann: Person) -> None:
    client = app.test_client()
    wrong = client.post("/api/v1/auth/login", json={"email": ann.email, "password": "wrong"}).get_json()["error"]
    unknown = client.post("/api/v1/auth/login", json={"email": "x@example.com", "password": "wrong"}).get_json()[
        "error"
    ]
    assert wrong == unknown and wrong["code"] == "AUTHENTICATION_FAILED"


def test_a_long_password_counts_to_its_last_letter(app: Flask, ann: Person) -> None:
    client, long = app.test_client(), "x" * 100
    client.post("/api/v1/auth/register", json={"name": "Bob", "email": "bob@example.com", "password": long + "a"})
    assert (
        client.post("/api/v1/auth/login", json={"email": "bob@example.com", "password": long + "b"}).status_code == 401
    )
    assert (
        client.post("/api/v1/auth/login", json={"email": "bob@example.com", "password": long + "a"}).status_code == 200
    )


def test_refresh_keeps_working_and_logout_ends_every_token_of_the_session(app: Flask, ann: Person) -> None:
    client = app.test_client()
    data = client.post("/api/v1/auth/login", json={"email": ann.email, "password": PASSWORD}).get_json()["data"]
    for _ in range(2):
        fresh = client.post("/api/v1/auth/refresh", json={"refreshToken": data["refresh_token"]}).get_json()["data"]
    headers = {"Authorization": f"Bearer {fresh['access_token']}"}
    assert client.get("/api/v1/auth/session", headers=headers).get_json()["data"]["authenticated"] is True
    assert client.post("/api/v1/auth/refresh", json={"refresh_token": data["access_token"]}).status_code == 401
    assert client.post("/api/v1/auth/logout", json={}, headers=headers).status_code == 200
    assert client.get("/api/v1/auth/me", headers=headers).status_code == 401
    assert client.post("/api/v1/auth/refresh", json={"refresh_token": data["refresh_token"]}).status_code == 401
    assert ann.call("GET", "/auth/me")["email"] == ann.email  # the other session lives on


def test_a_client_that_still_holds_a_good_token_may_refresh_it(app: Flask, ann: Person) -> None:
    headers = {"Authorization": f"Bearer {ann.token}"}
    body = {"email": ann.email, "password": PASSWORD}
    data = app.test_client().post("/api/v1/auth/login", json=body, headers=headers).get_json()["data"]
    answer = ann.client.post("/api/v1/auth/refresh", json={"refresh_token": data["refresh_token"]}, headers=headers)
    assert answer.status_code == 200, answer.text
    wrong = ann.client.post("/api/v1/auth/refresh", json={"refresh_token": ann.token}, headers=headers)
    assert wrong.status_code == 401


@pytest.mark.parametrize(("remembered", "hours"), [(False, 12), (True, 90 * 24)])
def test_a_browser_session_is_short_unless_it_is_remembered(
    app: Flask, ann: Person, remembered: bool, hours: int
) -> None:
    client = app.test_client()
    form = {"email": ann.email, "password": PASSWORD, "csrf_token": csrf(client)}
    assert client.post("/login", data=form | ({"remember_me": "on"} if remembered else {})).status_code == 303
    with app.app_context():
        newest = db.session.scalars(select(LoginSession).order_by(LoginSession.id.desc())).first()
        assert newest is not None
        assert round((newest.expires_at - newest.created_at).total_seconds() / 3600) == hours


def test_a_program_that_shall_be_remembered_gets_a_longer_refresh_token(app: Flask, ann: Person) -> None:
    def life(**more: bool) -> float:
        body = {"email": ann.email, "password": PASSWORD, **more}
        token = app.test_client().post("/api/auth/login", json=body).get_json()["data"]["refresh_token"]
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        return float(claims["exp"] - claims["iat"]) / 86400

    assert (life(), life(remember_me=False), life(rememberMe=True)) == (30, 30, 90)


def test_signing_up_by_json_signs_the_browser_in_too(app: Flask) -> None:
    client = app.test_client()
    made = client.post("/api/auth/signup", json={"name": "Bob", "email": "bob@example.com", "password": PASSWORD})
    assert client.get("/dashboard").status_code == 200
    here = client.get("/api/v1/auth/session").get_json()["data"]
    assert here["user"]["id"] == made.get_json()["data"]["id"]
    again = client.post("/api/v1/auth/login", json={"email": "bob@example.com", "password": PASSWORD})
    assert again.status_code == 200  # with the cookie and without the token of a form: nothing to forge here
    bearer = {"Authorization": f"Bearer {made.get_json()['data']['access_token']}"}
    assert client.post("/api/v1/auth/logout", json={}, headers=bearer).status_code == 200
    assert client.get("/dashboard").status_code == 302


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_a_page_of_others_signs_no_browser_in(app: Flask, headers: dict[str, str]) -> None:
    client, body = app.test_client(), {"name": "Bob", "email": "bob@example.com", "password": PASSWORD}
    made = client.post("/api/v1/auth/register", json=body, headers=headers)
    assert made.status_code == 201 and "Set-Cookie" not in made.headers


def test_who_is_signed_in_stays_so_when_they_make_an_account_for_others(
    app: Flask, ann: Person, browser: Callable[[Person], FlaskClient]
) -> None:
    client, body = browser(ann), {"name": "Bob", "email": "bob@example.com", "password": PASSWORD}
    assert client.post("/api/v1/auth/register", json=body).status_code == 201
    assert client.get("/api/v1/auth/me").get_json()["data"]["id"] == ann.id


def test_nobody_waits_while_a_password_is_compared(app: Flask, ann: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    real, written = rules.password_fits, []

    def slowly(password: str, hashed: str | None) -> bool:
        with sqlite3.connect(app.config["SQLALCHEMY_DATABASE_URI"].removeprefix("sqlite:///"), timeout=0) as other:
            other.execute("update users set name = 'Ann'")
        written.append(True)
        return real(password, hashed)

    monkeypatch.setattr(rules, "password_fits", slowly)
    body = {"email": ann.email, "password": PASSWORD}
    assert app.test_client().post("/api/v1/auth/login", json=body).status_code == 200
    assert written == [True]


def test_leaving_and_changing_preferences_is_in_the_ledger(app: Flask, ann: Person) -> None:
    client, body = app.test_client(), {"email": ann.email, "password": PASSWORD}
    token = client.post("/api/v1/auth/login", json=body).get_json()["data"]["access_token"]
    client.post("/api/v1/auth/logout", json={}, headers={"Authorization": f"Bearer {token}"})
    ann.call("PUT", "/user/preferences", theme="dark")
    acts = [(entry["action"], entry["details"]) for entry in ann.call("GET", "/audit")]
    assert acts[:2] == [
        ("account.preferences_changed", {"theme": ["system", "dark"]}),
        ("account.signed_out", {}),
    ]


def test_who_is_overtaken_by_a_moment_hears_of_a_conflict(
    app: Flask, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "_username_taken", lambda name: False)  # as it was when this one looked
    body = {"name": "Ann", "email": "other@example.com", "password": PASSWORD, "username": "ann"}
    answer = app.test_client().post("/api/v1/auth/register", json=body)
    assert answer.status_code == 409 and answer.get_json()["error"]["code"] == "CONFLICT"


def test_a_forged_token_is_worth_nothing(ann: Person) -> None:
    head, body, _ = ann.token.split(".")
    for token in (f"{head}.{body}.AAAA", f"eyJhbGciOiJub25lIn0.{body}.", "rubbish", ann.token[:-1]):
        answer = ann.client.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401


def test_sign_up_can_be_closed_by_the_administrator(app: Flask, ann: Person) -> None:
    with app.app_context():
        from_admin = app.test_client()
    page = from_admin.get("/login").text
    token = page[page.index('name="csrf_token"') :].split('value="', 1)[1].split('"', 1)[0]
    from_admin.post("/login", data={"email": ann.email, "password": PASSWORD, "csrf_token": token})
    page = from_admin.get("/admin").text
    token = page[page.index('name="csrf_token"') :].split('value="', 1)[1].split('"', 1)[0]
    assert from_admin.post("/admin", data={"sign_up": "closed", "csrf_token": token}).status_code == 303
    body = {"name": "Bob", "email": "bob@example.com", "password": PASSWORD}
    assert app.test_client().post("/api/v1/auth/register", json=body).status_code == 403
