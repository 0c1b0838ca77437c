"""Sessions and tokens: what they say, how they turn, when they end."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from devflow.app import create_app
from devflow.core import epoch
from devflow.core.access import anonymous
from devflow.core.db import db
from devflow.core.errors import Unauthenticated
from devflow.features.accounts.models import LoginSession, User
from devflow.features.accounts.service import entering
from devflow.features.accounts.service.guarding import Guard
from devflow.ports.tries import Tries
from tests.conftest import PASSWORD, SETTINGS, Person, csrf

rotating = pytest.mark.parametrize("settings", [{"refresh_token_rotation": "on"}])


def login(app: Flask, who: Person, **more: Any) -> dict[str, Any]:
    body = {"email": who.email, "password": PASSWORD, **more}
    answer = app.test_client().post("/api/v1/auth/login", json=body)
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.get_json()["data"]
    return data


def refresh(app: Flask, token: str) -> Any:
    return app.test_client().post("/api/v1/auth/refresh", json={"refresh_token": token})


def me(app: Flask, token: str) -> int:
    answer = app.test_client().get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code


def claims(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    read: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return read


def test_an_access_token_says_who_and_until_when(app: Flask, ann: Person) -> None:
    data = login(app, ann)
    said = claims(data["access_token"])
    assert said["userId"] == said["sub"] == ann.id and said["email"] == ann.email and said["name"] == "Ann"
    assert said["role"] == "master_admin" and said["type"] == "access" and said["jti"] and said["sid"]
    assert said["exp"] - said["iat"] == data["expires_in"] == 3600
    assert claims(data["refresh_token"])["type"] == "refresh" and "email" not in claims(data["refresh_token"])


def test_what_an_old_token_says_about_a_role_does_not_count(app: Flask, ann: Person) -> None:
    token = login(app, ann)["access_token"]
    with app.app_context():
        db.session.get_one(User, ann.id).role = "user"
        db.session.commit()
    headers = {"Authorization": f"Bearer {token}"}
    assert claims(token)["role"] == "master_admin"
    assert app.test_client().get("/api/v1/audit", headers=headers).get_json()["data"] == []
    assert app.test_client().get("/api/v1/auth/me", headers=headers).get_json()["data"]["role"] == "user"


@rotating
def test_with_rotation_each_refresh_token_works_once(app: Flask, ann: Person) -> None:
    data = login(app, ann)
    first = refresh(app, data["refresh_token"]).get_json()["data"]
    second = refresh(app, first["refresh_token"]).get_json()["data"]
    assert len({data["refresh_token"], first["refresh_token"], second["refresh_token"]}) == 3
    assert me(app, second["access_token"]) == 200
    assert claims(second["refresh_token"])["exp"] <= claims(data["refresh_token"])["exp"] + 1


@rotating
def test_reuse_of_an_old_one_ends_the_family_and_is_in_the_ledger(app: Flask, ann: Person) -> None:
    data = login(app, ann)
    stolen = data["refresh_token"]
    newest = refresh(app, stolen).get_json()["data"]
    with app.app_context():
        before = epoch.current()
    assert refresh(app, stolen).status_code == 401
    assert me(app, newest["access_token"]) == 401 and me(app, data["access_token"]) == 401
    assert refresh(app, newest["refresh_token"]).status_code == 401
    with app.app_context():
        assert epoch.current() > before  # open sockets hear of it
    assert "account.refresh_token_reused" in [entry["action"] for entry in ann.call("GET", "/audit")]
    assert me(app, ann.token) == 200  # another session of hers lives on


@rotating
def test_of_many_refreshes_at_once_one_wins_and_the_family_ends(app: Flask, ann: Person) -> None:
    token = login(app, ann)["refresh_token"]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: refresh(app, token), range(6)))
    won = [answer.get_json()["data"] for answer in answers if answer.status_code == 200]
    assert len(won) == 1 and sorted(answer.status_code for answer in answers) == [200] + [401] * 5
    assert me(app, won[0]["access_token"]) == 401


def test_without_rotation_many_refreshes_at_once_all_work(app: Flask, ann: Person) -> None:
    token = login(app, ann)["refresh_token"]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: refresh(app, token), range(6)))
    assert {answer.get_json()["data"]["refresh_token"] for answer in answers} == {token}


def test_a_refresh_token_ends_with_its_account_and_its_time(app: Flask, ann: Person) -> None:
    token = login(app, ann)["refresh_token"]
    with time_machine.travel(timedelta(days=31), tick=True):
        assert refresh(app, token).status_code == 401
    with app.app_context():
        db.session.get_one(User, ann.id).is_active = False
        db.session.commit()
    assert refresh(app, token).status_code == 401
    answer = app.test_client().post("/api/v1/auth/login", json={"email": ann.email, "password": PASSWORD})
    assert answer.status_code == 403


def test_logout_takes_the_session_of_a_refresh_token_along_if_it_is_ones_own(
    app: Flask, ann: Person, person: Callable[..., Person]
) -> None:
    bob = person("Bob")
    hers, other, his = login(app, ann), login(app, ann), login(app, bob)
    headers = {"Authorization": f"Bearer {hers['access_token']}"}
    body = {"refresh_token": other["refresh_token"]}
    assert app.test_client().post("/api/v1/auth/logout", json=body, headers=headers).status_code == 200
    assert me(app, hers["access_token"]) == 401 and me(app, other["access_token"]) == 401
    third = login(app, ann)
    headers = {"Authorization": f"Bearer {third['access_token']}"}
    body = {"refresh_token": his["refresh_token"]}
    assert app.test_client().post("/api/v1/auth/logout", json=body, headers=headers).status_code == 200
    assert me(app, his["access_token"]) == 200


@pytest.mark.parametrize(
    ("target", "lands"),
    [
        ("/projects?page=2", "/projects?page=2"), ("//evil.example", "/dashboard"),
        ("https://evil.example", "/dashboard"), ("/\\evil.example", "/dashboard"), ("\\\\evil.example", "/dashboard"),
        ("/a\r\nSet-Cookie: x=1", "/dashboard"), ("javascript:alert(1)", "/dashboard"),
    ],
)  # fmt: skip
def test_signing_in_leads_to_paths_of_this_site_only(app: Flask, ann: Person, target: str, lands: str) -> None:
    client = app.test_client()
    form = {"email": ann.email, "password": PASSWORD, "csrf_token": csrf(client)}
    answer = client.post("/login", query_string={"next": target}, data=form)
    assert answer.status_code == 303 and answer.location == lands
    assert "Set-Cookie: x" not in str(answer.headers).replace(lands, "")


def test_a_planted_session_cookie_is_worthless_after_the_sign_in(app: Flask, ann: Person) -> None:
    victim, attacker = app.test_client(), app.test_client()
    token = csrf(attacker)
    planted = attacker.get_cookie("devflow")
    assert planted is not None
    victim.set_cookie("devflow", planted.value)
    answer = victim.post("/login", data={"email": ann.email, "password": PASSWORD, "csrf_token": token})
    assert answer.status_code == 303 and victim.get("/dashboard").status_code == 200
    assert attacker.get("/dashboard").status_code == 302
    own = victim.get_cookie("devflow")
    assert own is not None and own.value != planted.value


@pytest.mark.parametrize(("address", "secure"), [("https://devflow.example.com", True), ("http://localhost", False)])
def test_cookies_are_kept_from_scripts_and_from_plain_http(tmp_path: Any, address: str, secure: bool) -> None:
    app = create_app({**SETTINGS, "data_dir": tmp_path, "app_url": address})
    with app.app_context():
        db.create_all()
    client = app.test_client()
    page = client.get("/signup", base_url=address).text
    token = page[page.index('name="csrf_token"') :].split('value="', 1)[1].split('"', 1)[0]
    form = {"name": "Ann", "email": "ann@example.com", "password": PASSWORD, "csrf_token": token}
    answer = client.post("/signup", data=form, base_url=address, headers={"Referer": f"{address}/signup"})
    assert answer.status_code == 303, answer.text
    for cookie in answer.headers.getlist("Set-Cookie"):
        assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and ("Secure" in cookie) is secure
        assert "Path=/" in cookie and "Domain" not in cookie
    session = "__Host-devflow=" if secure else "devflow="
    assert any(cookie.startswith(session) for cookie in answer.headers.getlist("Set-Cookie"))
    with app.app_context():
        db.engine.dispose()


def test_sign_up_that_is_not_open_honours_invitations(app: Flask, ann: Person) -> None:
    client = app.test_client()
    client.post("/login", data={"email": ann.email, "password": PASSWORD, "csrf_token": csrf(client)})
    page = client.get("/admin").text
    token = page[page.index('name="csrf_token"') :].split('value="', 1)[1].split('"', 1)[0]
    assert client.post("/admin", data={"sign_up": "invitation", "csrf_token": token}).status_code == 303
    entering.may_join.register(_bob_with_the_ticket)
    try:
        body = {"name": "Bob", "email": "bob@example.com", "password": PASSWORD}
        for invite, status in ((None, 403), ("wrong", 403), ("ticket", 201)):
            answer = app.test_client().post("/api/v1/auth/register", json=body | {"inviteToken": invite})
            assert answer.status_code == status, answer.text
        eve = body | {"email": "eve@example.com", "invite_token": "ticket"}
        assert app.test_client().post("/api/v1/auth/register", json=eve).status_code == 403
    finally:
        entering.may_join._checkers.remove(_bob_with_the_ticket)


def _bob_with_the_ticket(email: str, token: str) -> bool:
    return (email, token) == ("bob@example.com", "ticket")


def test_other_doors_prove_a_password_without_opening_a_session(app: Flask, ann: Person) -> None:
    with app.test_request_context("/"):
        guard = Guard(app.extensions["devflow-ports"][Tries])
        before = len(list(db.session.scalars(select(LoginSession))))
        assert entering.prove(anonymous(), ann.email, PASSWORD, None, guard).id == ann.id
        with pytest.raises(Unauthenticated):
            entering.prove(anonymous(), ann.email, "wrong", None, guard)
        assert len(list(db.session.scalars(select(LoginSession)))) == before


def test_a_signed_in_browser_that_meets_the_sign_in_page_goes_where_it_wanted(
    ann: Person, browser: Callable[[Person], FlaskClient]
) -> None:
    client = browser(ann)
    assert client.get("/login?next=/projects").location == "/projects"
    assert client.get("/login?next=//evil.example").location == "/dashboard"


def test_an_api_token_has_no_session_to_end(ann: Person) -> None:
    token = ann.call("POST", "/dev/tokens", 201, name="ci", scopes=["write"])["token"]
    program = Person(ann.client, ann.id, ann.email, token)
    assert program.call("POST", "/auth/logout", 409, all_sessions=True)["code"] == "INVALID_STATE"
    ann.call("GET", "/auth/me")
