"""Service accounts: who may make them and their tokens, how long these live, and that nobody signs in as one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from devflow.core import epoch
from devflow.core.addresses import service_address
from devflow.core.clock import now
from devflow.core.db import db
from devflow.features.accounts.models import EmailToken, User
from devflow.features.accounts.service import passwords, people
from devflow.features.audit.models import Entry
from devflow.features.mail.models import Letter
from devflow.features.teams.models import Member
from devflow.features.tokens.models import ApiToken
from devflow.features.tokens.service import keeping
from tests.at_once import at_once
from tests.conftest import PASSWORD, Join, Person, csrf

ACCOUNTS = "/team/service-accounts"


@pytest.fixture
def settings(each_store: dict[str, Any]) -> dict[str, Any]:
    return each_store


@pytest.fixture
def team(ann: Person) -> str:
    """A team of Ann's beside her own, so that others can own it, too."""
    return str(ann.call("POST", "/teams", 201, name="Crew")["id"])


@pytest.fixture
def machine(ann: Person, team: str) -> str:
    """A service account of Ann's team that deploys."""
    return str(ann.call("POST", ACCOUNTS, 201, name="GitHub Actions", team_id=team, role="developer")["id"])


@pytest.fixture
def token(app: Flask) -> Callable[..., Person]:
    """A token of a service account, as somebody who asks with it."""

    def make(who: Person, account: str, expect: int = 201, **fields: Any) -> Person:
        fields = {"name": "ci", "scopes": ["read", "write", "deploy"], **fields}
        made = who.call("POST", f"{ACCOUNTS}/{account}/tokens", expect, **fields)
        return Person(app.test_client(), made.get("id", ""), "", made.get("token", ""))

    return make


Token = Callable[..., Person]


@pytest.fixture
def crew(person: Callable[..., Person], join: Join, team: str) -> dict[str, Person]:
    """Somebody in each role, and somebody from outside."""
    found = {}
    for name, role in (("Vic", "viewer"), ("Dev", "member"), ("Ada", "admin"), ("Olga", "owner")):
        found[role] = person(name)
        join(found[role], team, role)
    return {**found, "outside": person("Bob")}


def test_a_program_works_with_its_own_account(ann: Person, team: str, machine: str, token: Token) -> None:
    program = token(ann, machine)
    made = program.call("POST", "/projects", 201, repository_url="https://example.com/shop.git")
    assert made["team_id"] == team
    program.call("POST", f"/projects/{made['id']}/deploy", 201)
    said = program.call("GET", "/auth/verify")
    assert said["user"]["id"] == machine and said["token_type"] == "api_token"
    row = ann.call("GET", f"{ACCOUNTS}/{machine}")
    assert (row["role"], row["token_count"], row["created_by"]["id"]) == ("member", 1, ann.id)
    assert [one["name"] for one in program.call("GET", "/teams")] == ["Crew"]


def test_only_who_manages_members_manages_them(crew: dict[str, Person], team: str, machine: str, token: Token) -> None:
    for role in ("viewer", "member"):
        who = crew[role]
        assert [one["id"] for one in who.call("GET", f"{ACCOUNTS}?team_id={team}")] == [machine]
        who.call("GET", f"{ACCOUNTS}/{machine}")
        who.call("GET", f"{ACCOUNTS}/{machine}/tokens", 403)
        who.call("POST", ACCOUNTS, 403, name="Mine", team_id=team, role="viewer")
        who.call("PATCH", f"{ACCOUNTS}/{machine}", 403, name="Mine")
        who.call("DELETE", f"{ACCOUNTS}/{machine}", 403)
        token(who, machine, 403)
    bob = crew["outside"]
    bob.call("GET", f"{ACCOUNTS}?team_id={team}", 404)
    bob.call("GET", f"{ACCOUNTS}/{machine}", 404)
    bob.call("GET", f"{ACCOUNTS}/{machine}/tokens", 404)
    bob.call("PATCH", f"{ACCOUNTS}/{machine}", 404, name="Mine")
    bob.call("DELETE", f"{ACCOUNTS}/{machine}", 404)
    token(bob, machine, 404)


def test_tokens_belong_to_all_who_manage_the_account(crew: dict[str, Person], machine: str, token: Token) -> None:
    made = token(crew["admin"], machine)
    for role in ("owner", "admin"):
        assert [one["id"] for one in crew[role].call("GET", f"{ACCOUNTS}/{machine}/tokens")] == [made.id]
        crew[role].call("GET", f"/dev/tokens/{made.id}/usage")
    for role, status in (("member", 403), ("viewer", 403), ("outside", 404)):
        crew[role].call("GET", f"/dev/tokens/{made.id}/usage", status)
        crew[role].call("PATCH", f"/dev/tokens/{made.id}/rotate", status)
        crew[role].call("PATCH", f"/dev/tokens/{made.id}/scopes", status, scopes=["read"])
        crew[role].call("DELETE", f"/dev/tokens/{made.id}", status)
    assert crew["admin"].call("GET", "/dev/tokens") == []
    value = crew["owner"].call("PATCH", f"/dev/tokens/{made.id}/rotate")["token"]
    made.call("GET", "/projects", 401)
    made.token = value
    made.call("GET", "/projects")
    crew["owner"].call("DELETE", f"/dev/tokens/{made.id}")
    made.call("GET", "/projects", 401)


def test_nobody_gives_an_account_what_they_lack(
    ann: Person, crew: dict[str, Person], team: str, machine: str, token: Token
) -> None:
    ada = crew["admin"]
    ann.call("POST", ACCOUNTS, 422, name="Boss", team_id=team, role="owner")
    ann.call("PATCH", f"{ACCOUNTS}/{machine}", 422, role="owner")
    project = ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git", team_id=team)["id"]
    role = ann.call("POST", "/security/roles", 201, name="Deployer", permissions=["deployments:create"])["id"]
    token(ada, machine)
    ann.call("POST", f"/security/users/{ada.id}/roles/{role}", project_id=project, effect="remove")
    token(ada, machine, 403)  # it would deploy what she may not
    ada.call("PATCH", f"{ACCOUNTS}/{machine}", 403, role="admin")
    ada.call("DELETE", f"{ACCOUNTS}/{machine}", 403)
    token(ann, machine)


def test_a_token_makes_none_wider_than_itself(ann: Person, app: Flask, team: str, machine: str, token: Token) -> None:
    made = ann.call("POST", "/dev/tokens", 201, name="narrow", scopes=["read", "write"], team_id=team)
    narrow = Person(app.test_client(), made["id"], "", made["token"])
    token(narrow, machine, 403, scopes=["read"])
    wide = ann.call("POST", "/dev/tokens", 201, name="wide", scopes=["read", "write", "deploy", "members:manage"])
    wide = Person(app.test_client(), wide["id"], "", wide["token"])
    token(wide, machine, scopes=["read", "deploy"], expires_in_days=7)
    program = token(ann, machine, scopes=["read", "write"])
    program.call("POST", "/dev/tokens", 403, name="more", scopes=["read", "deploy"], team_id=team)
    program.call("POST", "/dev/tokens", 403, name="elsewhere", scopes=["read"])


def test_an_account_manages_no_accounts(ann: Person, team: str, token: Token) -> None:
    boss = ann.call("POST", ACCOUNTS, 201, name="Boss", team_id=team, role="admin")["id"]
    program = token(ann, boss, scopes=["read", "write", "deploy", "admin"])
    program.call("POST", ACCOUNTS, 403, name="Another", team_id=team, role="viewer")
    program.call("PATCH", f"{ACCOUNTS}/{boss}", 403, name="Big boss")
    program.call("DELETE", f"{ACCOUNTS}/{boss}", 403)
    token(program, boss, 403)
    program.call("POST", "/teams", 403, name="Mine")
    program.call("PATCH", "/users/me", 403, name="Ann")
    program.call("POST", "/auth/two-factor", 403)
    program.call("GET", "/users", 403)


def test_a_token_reaches_its_team_only(ann: Person, team: str, machine: str, token: Token) -> None:
    own = ann.call("POST", "/projects", 201, repository_url="https://example.com/own.git")
    assert own["team_id"] != team
    token(ann, machine, 422, team_id=own["team_id"])
    token(ann, machine, 404, project_ids=[own["id"]])
    token(ann, machine).call("GET", f"/projects/{own['id']}", 404)


def test_it_goes_on_when_its_maker_leaves_or_is_deleted(
    app: Flask, ann: Person, crew: dict[str, Person], team: str, token: Token
) -> None:
    ada = crew["admin"]
    machine = ada.call("POST", ACCOUNTS, 201, name="Nightly", team_id=team, role="member")["id"]
    program = token(ada, machine)
    ada.call("POST", f"/teams/{team}/leave")
    program.call("GET", "/projects")
    ada.call("GET", f"{ACCOUNTS}/{machine}", 404)
    ada.call("DELETE", "/user/account", password=PASSWORD)
    program.call("GET", "/projects")
    assert ann.call("GET", f"{ACCOUNTS}/{machine}")["created_by"] is None


def test_it_ends_with_its_team(app: Flask, ann: Person, team: str, machine: str, token: Token) -> None:
    program = token(ann, machine)
    ann.call("DELETE", f"/teams/{team}", confirm="Crew")
    program.call("GET", "/auth/verify", 401)
    with app.app_context():
        assert db.session.get(User, machine) is None and db.session.scalar(select(func.count(ApiToken.id))) == 0
        assert db.session.scalar(select(Entry.id).where(Entry.action == "service_account.deleted"))


def test_it_keeps_no_team_from_going_with_the_last_person(app: Flask, person: Callable[..., Person]) -> None:
    person("Ann")
    bob = person("Bob")
    own = bob.call("GET", "/teams")[0]["id"]
    machine = bob.call("POST", ACCOUNTS, 201, name="Nightly", team_id=own, role="admin")["id"]
    crew = bob.call("POST", "/teams", 201, name="Alone")["id"]
    bob.call("POST", ACCOUNTS, 201, name="Nightly", team_id=crew, role="admin")
    bob.call("DELETE", "/user/account", password=PASSWORD)
    with app.app_context():
        assert db.session.get(User, machine) is None


def test_switched_off_it_stops_at_once(app: Flask, ann: Person, machine: str, token: Token) -> None:
    program = token(ann, machine)
    with app.app_context():
        before = epoch.current()
    assert ann.call("PATCH", f"{ACCOUNTS}/{machine}", is_active=False)["is_active"] is False
    with app.app_context():
        assert epoch.current() > before  # what closes open connections
    program.call("GET", "/projects", 401)
    token(ann, machine, 409)
    ann.call("PATCH", f"{ACCOUNTS}/{machine}", is_active=True)
    program.call("GET", "/projects")


def test_a_lesser_role_counts_at_once_and_deletion_ends_it(ann: Person, machine: str, token: Token) -> None:
    program = token(ann, machine)
    project = program.call("POST", "/projects", 201, repository_url="https://example.com/shop.git")["id"]
    ann.call("PATCH", f"{ACCOUNTS}/{machine}", role="viewer")
    program.call("POST", f"/projects/{project}/deploy", 403)
    ann.call("DELETE", f"{ACCOUNTS}/{machine}")
    program.call("GET", "/projects", 401)
    ann.call("DELETE", f"{ACCOUNTS}/{machine}", 404)
    ann.call("GET", f"/projects/{project}")


def test_two_at_once(app: Flask, ann: Person, team: str, machine: str) -> None:
    assert at_once(app, *[(ann, "POST", ACCOUNTS, {"name": "Nightly", "team_id": team})] * 3) == [201, 409, 409]
    assert at_once(app, *[(ann, "DELETE", f"{ACCOUNTS}/{machine}", {})] * 3) == [200, 404, 404]


def test_nobody_signs_in_as_one(
    app: Flask, ann: Person, machine: str, browser: Callable[[Person], FlaskClient]
) -> None:
    address = service_address(machine)
    client = app.test_client()
    for name in (address, machine):
        for password in (PASSWORD, "None", machine):
            sent = client.post("/api/v1/auth/login", json={"email": name, "password": password})
            assert sent.status_code == 401, sent.text
    sent = client.post("/api/v1/auth/register", json={"name": "M", "email": address, "password": PASSWORD})
    assert sent.status_code == 422
    sent = client.post("/api/v1/auth/token", json={"token_name": "t", "email": address, "password": PASSWORD})
    assert sent.status_code == 401
    page = client.post("/login", data={"email": address, "password": PASSWORD, "csrf_token": csrf(client)})
    assert page.status_code == 422 or b"do not belong together" in page.data
    team = ann.call("GET", f"{ACCOUNTS}/{machine}")["team_id"]
    ann.call("POST", "/team/members", 422, email=address, role="viewer", team_id=team)
    ann.call("POST", "/team/members", 422, email=service_address("other"), role="viewer", team_id=team)
    with app.test_request_context():
        assert passwords.send_link(passwords.anonymous(), address) is False
        assert db.session.scalar(select(func.count(EmailToken.id)).where(EmailToken.user_id == machine)) == 0
        assert db.session.scalar(select(func.count(Letter.id)).where(Letter.to == address)) == 0


def test_it_is_nobody(app: Flask, ann: Person, team: str, machine: str) -> None:
    assert machine not in {one["id"] for one in ann.call("GET", "/users")}
    assert machine not in {one["id"] for one in ann.call("GET", "/users/assignable")}
    roles = {one["name"]: one for one in ann.call("GET", "/security/roles")}
    assert str(roles["user"].get("user_count", 0)) == "0"
    ann.call("PUT", f"/users/{machine}/role", 404, role="admin")
    ann.call("PATCH", f"/users/{machine}", 404, is_active=False)
    with app.app_context():
        db.session.execute(db.delete(User).where(User.id == ann.id))
        db.session.commit()
        assert not people.has_accounts()


def test_roles_are_given_to_it_in_its_team_only(ann: Person, team: str, machine: str, token: Token) -> None:
    project = ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git", team_id=team)["id"]
    other = ann.call("POST", "/projects", 201, repository_url="https://example.com/own.git")["id"]
    role = ann.call("POST", "/security/roles", 201, name="Remover", permissions=["projects:delete"])["id"]
    program = token(ann, machine)
    program.call("DELETE", f"/projects/{project}", 403)
    given = f"/security/users/{machine}/roles/{role}"
    ann.call("POST", given, 409)
    ann.call("POST", given, 409, project_id=other)
    ann.call("POST", given, project_id=project)
    program.call("DELETE", f"/projects/{project}")
    why = ann.call("GET", f"/security/why?permission=account:manage&user_id={machine}&team_id={team}")
    assert why["allowed"] is False and not [one for one in why["sources"] if one["effect"] == "allow"]
    built_in = next(one["id"] for one in ann.call("GET", "/security/roles") if one["name"] == "admin")
    ann.call("POST", f"/security/users/{machine}/roles/{built_in}", 409)


def test_it_is_a_member_that_is_managed_on_its_own_page(app: Flask, ann: Person, team: str, machine: str) -> None:
    with app.app_context():
        member = db.session.scalar(select(Member.id).where(Member.user_id == machine))
    assert member in {one["id"] for one in ann.call("GET", f"/team/members?team_id={team}")}
    ann.call("PUT", f"/team/members/{member}/role", 409, role="owner")
    ann.call("DELETE", f"/team/members/{member}", 409)


def test_letters_go_to_those_who_look_after_it(
    app: Flask, crew: dict[str, Person], ann: Person, machine: str, token: Token
) -> None:
    made = token(crew["admin"], machine, expires_in_days=30)
    with app.app_context():
        row = db.session.get_one(ApiToken, made.id)
        row.created_at, row.expires_at = now() - timedelta(days=24), now() + timedelta(days=6)
        db.session.commit()
        keeping.remind()
        letters = select(Letter).where(Letter.template == "token_expires")
        written = {letter.to: letter.subject for letter in db.session.scalars(letters)}
    assert set(written) == {ann.email, crew["admin"].email, crew["owner"].email}
    assert set(written.values()) == {"The API token ci of GitHub Actions expires soon"}


def test_its_pages(ann: Person, crew: dict[str, Person], machine: str, team: str, browser: Any) -> None:
    client = browser(ann)
    token = csrf(client)
    client.post("/team/switch", data={"team_id": team, "csrf_token": token})
    assert "GitHub Actions" in client.get("/team/service-accounts").text
    assert "Service account" in client.get("/team").text
    form = {"name": "Nightly", "role": "viewer", "description": "Every night", "csrf_token": token}
    made = client.post("/team/service-accounts/new", data=form)
    page = made.location
    assert client.post("/team/service-accounts/new", data=form).status_code == 422
    wanted = {"name": "ci", "scopes": "read", "expires_in_days": "30", "csrf_token": token}
    shown = client.post(f"{page}/tokens/new", data=wanted)
    assert "dvf_" in shown.text and shown.status_code == 200
    assert "dvf_" in client.get(page).text and "Every night" in client.get(page).text
    edited = {"name": "Nightly", "role": "member", "description": "", "csrf_token": token}
    assert client.post(f"{page}/edit", data=edited).status_code == 303
    assert "Every night" not in client.get(page).text
    client.post(f"{page}/switch", data={"csrf_token": token})
    assert "Switched off." in client.get(page).text
    assert client.post(f"{page}/delete", data={"confirm": "x", "csrf_token": token}).status_code == 422
    assert client.post(f"{page}/delete", data={"confirm": "Nightly", "csrf_token": token}).status_code == 303
    assert client.get(page).status_code == 404
    vic = browser(crew["viewer"])
    assert "Danger zone" not in vic.get(f"/team/service-accounts/{machine}").text


def test_a_token_asks_who_you_are(app: Flask, ann: Person, machine: str, token: Token) -> None:
    with app.app_context():
        db.session.execute(db.text("update sessions set proved_at = '2020-01-01 00:00:00+00:00'"))
        db.session.commit()
    refused = ann.call("POST", f"{ACCOUNTS}/{machine}/tokens", 403, name="ci")
    assert refused["code"] == "REAUTHENTICATION_REQUIRED"
