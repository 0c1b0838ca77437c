"""Connecting and disconnecting accounts elsewhere, and what is said where nothing is set up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from devflow.core.db import db
from devflow.features.accounts.models import LoginSession, User
from tests.conftest import Person
from tests.features.accounts.github_fixture import Github, GithubUser
from tests.features.accounts.oauth_trips import (
    HTML,
    JSON,
    claims_at,
    consent,
    csrf_in,
    trip,
    type_of_oauth,
)


@pytest.fixture
def settings(provided: dict[str, Any]) -> dict[str, Any]:
    return provided


def test_connect_in_the_settings_and_disconnect(
    app: Flask, ann: Person, github: Github, browser: Callable[[Person], FlaskClient]
) -> None:
    client = browser(ann)
    assert "Not connected" in client.get("/settings/github").text
    start = client.get("/settings/connections/github?next=/settings/github")
    assert start.status_code == 303
    assert client.get(consent(start.location), headers=HTML).location == "/settings/github"
    page = client.get("/settings/github").text
    assert "octocat" in page and not any(token in page for token in github.tokens)
    assert ann.call("GET", "/auth/me")["github_connected"] is True
    state = ann.call("GET", "/github/connection-status")
    assert state["connected"] is True and state["github_username"] == "octocat"
    assert state["scopes"] == ["repo", "user:email"]
    form = {"csrf_token": csrf_in(client, "/settings/github"), "confirm": "octocat", "back": "/settings/github"}
    assert client.post("/settings/connections/github/disconnect", data=form).location == "/settings/github"
    assert ann.call("GET", "/github/connection") == {
        "connected": False, "github_username": None, "avatar_url": None, "scopes": [], "connected_at": None,
        "token_expires_at": None,
    }  # fmt: skip
    assert ann.call("DELETE", "/github/disconnect", 404)["code"] == "RESOURCE_NOT_FOUND"


def test_the_last_way_in_is_never_taken(app: Flask, github: Github, issuer: str) -> None:
    client = app.test_client()
    start = client.get("/api/v1/auth/github", headers=JSON).get_json()["data"]
    data = client.get(consent(start["authorization_url"]), headers=JSON).get_json()["data"]
    who = Person(app.test_client(), data["user"]["id"], data["user"]["email"], data["access_token"])
    assert "only way to sign in" in who.call("DELETE", "/github/disconnect", 409)["message"]
    claims_at(issuer, "octo-google", email="other@example.com", email_verified=True)
    with app.app_context():
        db.session.get_one(User, who.id).google_id = "octo-google"
        db.session.commit()
    who.call("DELETE", "/github/disconnect")


def test_one_github_account_belongs_to_one_person(
    app: Flask, ann: Person, person: Callable[..., Person], github: Github
) -> None:
    github.tokens["ghp_own"] = github.user
    bob = person("Bob")
    assert ann.call("POST", "/github/connect", access_token="ghp_own")["github_username"] == "octocat"
    assert bob.call("POST", "/github/connect", 409, access_token="ghp_own")["code"] == "CONFLICT"
    assert bob.call("POST", "/github/connect", 401, access_token="ghp_wrong")["code"] == "AUTHENTICATION_FAILED"


def test_a_program_connects_by_code_and_only_for_itself(
    app: Flask, ann: Person, person: Callable[..., Person], github: Github
) -> None:
    bob = person("Bob")
    start = ann.call("POST", "/github/connect")
    answer = parse_qs(urlsplit(consent(start["authorization_url"])).query)
    sent = {"code": answer["code"][0], "state": answer["state"][0]}
    assert bob.call("POST", "/github/connect", 400, **sent)["code"] == "BAD_REQUEST"
    assert "POST /login/oauth/access_token" not in github.asked
    assert ann.call("POST", "/github/connect", **sent)["connected"] is True
    enter = app.test_client().get("/api/v1/auth/github", headers=JSON).get_json()["data"]
    answer = parse_qs(urlsplit(consent(enter["authorization_url"])).query)
    planted = {"code": answer["code"][0], "state": answer["state"][0]}
    assert bob.call("POST", "/github/connect", 400, **planted)["code"] == "BAD_REQUEST"


def test_who_has_no_password_confirms_at_the_provider(app: Flask, github: Github) -> None:
    client = app.test_client()
    trip(client)
    with app.app_context():
        row = db.session.scalars(select(LoginSession)).one()
        row.proved_at = row.proved_at.replace(year=2020)
        db.session.commit()
    to_confirm = client.get("/settings/connections/google")
    assert to_confirm.location.startswith("/confirm?next=/settings/connections/google")
    assert "Sign in with GitHub again" in client.get(to_confirm.location).text
    wanted = "/confirm/github?next=/settings/github"
    github.user, me = GithubUser(99, "mallory"), github.user
    assert client.get(consent(client.get(wanted).location), headers=HTML).location == "/settings/security"
    assert client.get("/settings/connections/google").location.startswith("/confirm")
    github.user = me
    assert client.get(consent(client.get(wanted).location), headers=HTML).location == "/settings/github"
    assert client.get("/settings/connections/google").status_code == 303
    assert not client.get("/settings/connections/google").location.startswith("/confirm")


def test_nobody_waits_for_a_provider_with_a_transaction_open(
    app: Flask, ann: Person, github: Github, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, free = app.extensions["devflow-ports"][type_of_oauth(app)], []

    def watched(name: str) -> Any:
        real = getattr(adapter, name)

        def ask(*args: Any) -> Any:
            free.append((name, not db.session().in_transaction()))
            return real(*args)

        return ask

    for name in ("start", "finish", "of_access_token", "of_id_token"):
        monkeypatch.setattr(adapter, name, watched(name))
    start = ann.call("POST", "/github/connect")
    answer = parse_qs(urlsplit(consent(start["authorization_url"])).query)
    ann.call("POST", "/github/connect", code=answer["code"][0], state=answer["state"][0])
    github.tokens["ghp_own"] = github.user
    ann.call("POST", "/github/connect", access_token="ghp_own")
    ann.call("POST", "/auth/google", 401, token="rubbish")
    assert free == [("start", True), ("finish", True), ("of_access_token", True), ("of_id_token", True)]


UNSET = pytest.mark.parametrize("settings", [{"app_url": "http://localhost", "github_client_id": "only half"}])


@UNSET
@pytest.mark.parametrize("provider", ["github", "google", "oidc"])
def test_what_is_not_set_up_has_no_button_and_names_its_variables(app: Flask, ann: Person, provider: str) -> None:
    client = app.test_client()
    for path in ("/login", "/signup"):
        assert "Continue with" not in client.get(path).text
    for headers in (JSON, HTML):
        answer = client.get(f"/api/v1/auth/{provider}", headers=headers)
        error = answer.get_json()["error"]
        assert answer.status_code == 503 and error["code"] == "EXTERNAL_SERVICE_ERROR"
        assert f"{provider.upper()}_CLIENT_SECRET" in error["message"]
    assert "GITHUB_CLIENT_ID" not in client.get("/api/auth/github").get_json()["error"]["message"]
    assert client.post("/api/v1/auth/google", json={"token": "x"}).status_code == 503
    assert ann.call("POST", "/github/connect", 503)["code"] == "EXTERNAL_SERVICE_ERROR"


@UNSET
def test_the_github_page_says_what_to_set(app: Flask, ann: Person, browser: Callable[[Person], FlaskClient]) -> None:
    page = browser(ann).get("/settings/github").text
    assert "GITHUB_CLIENT_SECRET" in page and "http://localhost/api/auth/github/callback" in page
    assert "Connect GitHub" not in page
