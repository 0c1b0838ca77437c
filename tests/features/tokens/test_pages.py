"""The pages of API tokens."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import Person, csrf
from tests.features.tokens.conftest import Token

Browser = Callable[[Person], FlaskClient]
VALUE = re.compile(r"dvf_[A-Za-z0-9]{38}")


@pytest.fixture
def client(ann: Person, browser: Browser) -> FlaskClient:
    return browser(ann)


def post(client: FlaskClient, path: str, **form: Any) -> Any:
    return client.post(path, data={"csrf_token": csrf(client), **form})


def test_without_tokens_the_page_says_what_they_are_for(client: FlaskClient) -> None:
    page = client.get("/settings/tokens").text
    assert "No API tokens yet" in page and "/settings/tokens/new" in page


def test_a_token_is_made_and_shown_once(app: Flask, ann: Person, client: FlaskClient) -> None:
    form = {"name": "GitHub Actions", "scopes": ["read", "deploy"], "expires_in_days": "90"}
    answer = post(client, "/settings/tokens/new", **form)
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store"
    [value] = set(VALUE.findall(answer.text))
    made = Person(app.test_client(), ann.id, ann.email, value)
    assert made.call("GET", "/auth/verify")["scopes"] == ["read", "deploy"]
    [row] = ann.call("GET", "/dev/tokens")
    for path in ("/settings/tokens", f"/settings/tokens/{row['id']}", f"/settings/tokens/{row['id']}/scopes"):
        page = client.get(path)
        assert page.status_code == 200 and not VALUE.search(page.text), path
        assert "GitHub Actions" in page.text


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"scopes": ["read"]}, "Needed."),
        ({"name": "ci"}, "Choose at least one."),
        ({"name": "ci", "scopes": ["read"], "expires_in_days": "400"}, "At most 365 days."),
        ({"name": "ci", "scopes": ["read"], "allowed_ips": "here"}, "ranges such as"),
        ({"name": "<script>", "scopes": ["sink"]}, "There is no scope"),
    ],
)
def test_what_is_wrong_stands_at_the_form(ann: Person, client: FlaskClient, form: dict[str, Any], words: str) -> None:
    answer = post(client, "/settings/tokens/new", **form)
    assert answer.status_code == 422 and words in answer.text and "<script>&lt;" not in answer.text
    assert ann.call("GET", "/dev/tokens") == []


def test_choices_stay_when_the_form_comes_back(ann: Person, client: FlaskClient) -> None:
    project = ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git")["id"]
    page = post(client, "/settings/tokens/new", scopes=["deploy", "projects:read"], project_ids=[project]).text
    for value, ticked in [("deploy", True), ("projects:read", True), (project, True), ("read", False)]:
        assert (f'value="{value}" checked' in page) is ticked, value


def test_only_what_ones_roles_allow_is_offered(person: Callable[..., Person], ann: Person, browser: Browser) -> None:
    page = browser(person("Bob")).get("/settings/tokens/new").text
    assert 'value="deploy"' in page and 'value="users:manage"' not in page and "Never" not in page
    assert 'value="users:manage"' in browser(ann).get("/settings/tokens/new").text


def test_a_token_is_rotated_with_a_grace(app: Flask, ann: Person, client: FlaskClient, token: Token) -> None:
    old = token(ann)
    answer = post(client, f"/settings/tokens/{old.id}/rotate", grace_hours="1")
    [value] = set(VALUE.findall(answer.text))
    assert value != old.token
    for each in (value, old.token):
        assert Person(app.test_client(), ann.id, ann.email, each).call("GET", "/auth/verify")["valid"]
    page = client.get(f"/settings/tokens/{old.id}").text
    assert "Works until" in page and "1 use since" in page


def test_scopes_are_changed(ann: Person, client: FlaskClient, token: Token) -> None:
    ci = token(ann, ["read"])
    assert 'value="read" checked' in client.get(f"/settings/tokens/{ci.id}/scopes").text
    assert post(client, f"/settings/tokens/{ci.id}/scopes").status_code == 422
    assert post(client, f"/settings/tokens/{ci.id}/scopes", scopes=["write", "audit:read"]).status_code == 303
    assert ci.call("GET", "/auth/verify")["scopes"] == ["write", "audit:read"]


def test_revoking_asks_for_the_name(ann: Person, client: FlaskClient, token: Token) -> None:
    ci = token(ann)
    assert post(client, f"/settings/tokens/{ci.id}/revoke", confirm="cd").status_code == 422
    assert ci.call("GET", "/auth/verify")["valid"]
    assert post(client, f"/settings/tokens/{ci.id}/revoke", confirm="ci").status_code == 303
    ci.call("GET", "/auth/verify", 401)
    page = client.get(f"/settings/tokens/{ci.id}").text
    assert "Revoked by its owner" in page and "data-dialog=" not in page


def test_the_page_of_a_token_shows_its_use(ann: Person, client: FlaskClient, token: Token) -> None:
    ci = token(ann)
    for _ in range(3):
        ci.call("GET", "/projects")
    ci.call("GET", "/projects/none", 404)
    page = client.get(f"/settings/tokens/{ci.id}?period=7d").text
    assert "/api/v1/projects/{project_id}" in page and "4 today" in page and "1 refused or failed" in page
    assert page.count("<title>20") == 7


def test_somebody_elses_token_is_not_there(
    person: Callable[..., Person], ann: Person, client: FlaskClient, token: Token
) -> None:
    his = token(person("Bob"))
    for path in ("", "/scopes"):
        assert client.get(f"/settings/tokens/{his.id}{path}").status_code == 404
    for path in ("/rotate", "/revoke", "/scopes"):
        assert post(client, f"/settings/tokens/{his.id}{path}", confirm="ci", scopes=["read"]).status_code == 404
    assert his.call("GET", "/auth/verify")["valid"]


def test_a_form_from_elsewhere_makes_no_token(ann: Person, client: FlaskClient) -> None:
    form = {"name": "ci", "scopes": ["read"], "expires_in_days": "90"}
    for forged in ({}, {"csrf_token": "wrong"}):
        assert client.post("/settings/tokens/new", data={**form, **forged}).status_code == 403
    assert ann.call("GET", "/dev/tokens") == []
