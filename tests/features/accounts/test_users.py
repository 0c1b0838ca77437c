"""Accounts as administrators see them: list, roles on the platform, switching off and on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from devflow.core import epoch
from devflow.core.db import db
from devflow.features.accounts.models import LoginSession
from tests.conftest import PASSWORD, Join, Person, csrf

FIELDS = {
    "id", "username", "email", "name", "full_name", "role", "is_active", "is_verified", "email_verified",
    "avatar_url", "subscription_plan", "created_at", "updated_at", "last_login",
}  # fmt: skip


@pytest.fixture
def bob(ann: Person, person: Callable[..., Person]) -> Person:
    return person("Bob")


@pytest.fixture
def eve(bob: Person, person: Callable[..., Person]) -> Person:
    return person("Eve")


def test_the_list_is_filtered_and_paged(ann: Person, bob: Person, eve: Person) -> None:
    rows = ann.call("GET", "/users")
    assert [row["name"] for row in rows] == ["Eve", "Bob", "Ann"] and set(rows[0]) >= FIELDS
    assert [row["name"] for row in ann.call("GET", "/users?role=master_admin")] == ["Ann"]
    assert [row["name"] for row in ann.call("GET", "/users?search=bob%40")] == ["Bob"]
    assert ann.call("GET", "/users?search=%25") == []
    assert [row["name"] for row in ann.call("GET", "/users?limit=1&page=2")] == ["Bob"]
    ann.call("PATCH", f"/users/{bob.id}", is_active=False)
    assert [row["name"] for row in ann.call("GET", "/users?is_active=false")] == ["Bob"]
    assert [row["name"] for row in ann.call("GET", "/users?is_active=true")] == ["Eve", "Ann"]
    ann.call("GET", "/users?role=emperor", 422)


def test_only_administrators_see_the_list_and_change_anybody(ann: Person, bob: Person, eve: Person) -> None:
    bob.call("GET", "/users", 403)
    bob.call("PUT", f"/users/{eve.id}/role", 403, role="admin")
    bob.call("PUT", f"/users/{bob.id}/role", 403, role="emperor")
    bob.call("PATCH", f"/users/{eve.id}", 403, is_active=False)
    bob.call("PATCH", "/users/nobody", 403, is_active=False)


def test_others_see_colleagues_and_staff_in_part_and_nobody_else(
    ann: Person, bob: Person, eve: Person, join: Join, person: Callable[..., Person]
) -> None:
    assert set(bob.call("GET", f"/users/{bob.id}")) >= FIELDS
    assert set(ann.call("GET", f"/users/{bob.id}")) >= FIELDS
    staff = bob.call("GET", f"/users/{ann.id}")
    assert set(staff) == {"id", "full_name", "avatar_url", "role"} and staff["role"] == "master_admin"
    hidden, nobody = bob.call("GET", f"/users/{eve.id}", 404), bob.call("GET", "/users/nobody", 404)
    assert hidden["message"] == nobody["message"]
    assert [row["full_name"] for row in bob.call("GET", "/users/assignable")] == ["Ann", "Bob"]
    team = bob.call("POST", "/projects", 201, repository_url="https://example.com/x.git")["team_id"]
    join(eve, team, "viewer")
    assert set(bob.call("GET", f"/users/{eve.id}")) == {"id", "full_name", "avatar_url", "role"}
    assert [row["full_name"] for row in eve.call("GET", "/users/assignable?role=user")] == ["Bob", "Eve"]
    assert [row["full_name"] for row in eve.call("GET", "/users/assignable?search=an")] == ["Ann"]
    zoe = person("Zoe")
    assert [row["full_name"] for row in ann.call("GET", "/users/assignable")] == ["Ann", "Bob", "Eve", "Zoe"]
    ann.call("PATCH", f"/users/{zoe.id}", is_active=False)
    assert len(ann.call("GET", "/users/assignable")) == 3


def test_a_role_on_the_platform_counts_at_once_in_tokens_made_before(ann: Person, bob: Person) -> None:
    bob.call("GET", "/users", 403)
    assert ann.call("PUT", f"/users/{bob.id}/role", role="admin")["role"] == "admin"
    assert len(bob.call("GET", "/users")) == 2
    bob.call("PUT", f"/users/{bob.id}/role", 403, role="master_admin")
    bob.call("PUT", f"/users/{ann.id}/role", 403, role="user")
    ann.call("PUT", f"/users/{bob.id}/role", role="user")
    bob.call("GET", "/users", 403)
    ann.call("PUT", f"/users/{bob.id}/role", 422, role="emperor")
    ann.call("PUT", "/users/nobody/role", 404, role="user")
    acts = [(row["action"], row["details"]) for row in ann.call("GET", "/audit?action=account.role_changed")]
    assert acts == [
        ("account.role_changed", {"role": ["admin", "user"]}),
        ("account.role_changed", {"role": ["user", "admin"]}),
    ]


def test_who_is_switched_off_is_out_at_once_and_comes_back(app: Flask, ann: Person, bob: Person) -> None:
    with app.app_context():
        before = epoch.current()
    assert ann.call("PATCH", f"/users/{bob.id}", is_active=False)["is_active"] is False
    bob.call("GET", "/auth/me", 401)
    with app.app_context():
        assert db.session.query(LoginSession).filter_by(user_id=bob.id).count() == 0
        assert epoch.current() > before
    body = {"email": bob.email, "password": PASSWORD}
    assert app.test_client().post("/api/v1/auth/login", json=body).status_code in (401, 403)
    ann.call("PATCH", f"/users/{bob.id}", is_active=True)
    bob.call("GET", "/auth/me", 401)  # what has ended stays ended
    assert app.test_client().post("/api/v1/auth/login", json=body).status_code == 200


def test_administrators_do_not_switch_off_those_above_or_themselves(ann: Person, bob: Person, eve: Person) -> None:
    ann.call("PUT", f"/users/{bob.id}/role", role="admin")
    bob.call("PATCH", f"/users/{ann.id}", 403, is_active=False)
    bob.call("PATCH", f"/users/{bob.id}", 409, is_active=False)
    bob.call("PATCH", f"/users/{eve.id}", is_active=False)
    ann.call("PATCH", f"/users/{bob.id}", is_active=False)


def test_nobody_switches_off_or_on_who_holds_what_they_lack(
    app: Flask, ann: Person, bob: Person, eve: Person, browser: Callable[[Person], FlaskClient]
) -> None:
    roles = {
        name: ann.call("POST", "/security/roles", 201, name=name, permissions=permissions)["id"]
        for name, permissions in (("Switch", ["users:manage", "users:read"]), ("Auditor", ["audit:read"]))
    }
    ann.call("POST", f"/security/users/{bob.id}/roles/{roles['Switch']}")
    ann.call("POST", f"/security/users/{eve.id}/roles/{roles['Auditor']}")
    error = bob.call("PATCH", f"/users/{eve.id}", 403, is_active=False)
    assert "audit:read" in error["message"] and error["details"]["permission"] == "audit:read"
    client = browser(bob)
    form = {"csrf_token": csrf(client), "is_active": "false"}
    answer = client.post(f"/admin/users/{eve.id}/active", data=form)
    answer = client.post(f"/admin/users/{eve.id}/active", data=form)
    assert answer.status_code == 403 and "audit:read" in answer.text
    assert eve.call("GET", "/auth/me")["is_active"] is True
    ann.call("PATCH", f"/users/{eve.id}", is_active=False)
    bob.call("PATCH", f"/users/{eve.id}", 403, is_active=True)
    ann.call("POST", f"/security/users/{bob.id}/roles/{roles['Auditor']}")
    assert bob.call("PATCH", f"/users/{eve.id}", is_active=True)["is_active"] is True


def test_a_token_switches_off_nobody_who_holds_more_than_it_does(
    app: Flask, ann: Person, bob: Person, eve: Person
) -> None:
    ann.call("PUT", f"/users/{bob.id}/role", role="admin")
    made = ann.call("POST", "/dev/tokens", 201, name="narrow", scopes=["users:manage"])["token"]
    narrow = Person(app.test_client(), ann.id, ann.email, made)
    narrow.call("PATCH", f"/users/{bob.id}", 403, is_active=False)
    narrow.call("PATCH", f"/users/{eve.id}", is_active=False)


def test_the_last_master_administrator_stays(ann: Person, bob: Person) -> None:
    ann.call("PUT", f"/users/{ann.id}/role", 409, role="user")
    ann.call("PUT", f"/users/{bob.id}/role", role="master_admin")
    ann.call("PATCH", f"/users/{bob.id}", is_active=False)
    assert ann.call("PUT", f"/users/{ann.id}/role", 409, role="admin")["code"] == "CONFLICT"
    ann.call("PATCH", f"/users/{bob.id}", is_active=True)
    ann.call("PUT", f"/users/{ann.id}/role", role="admin")


def test_the_pages_change_roles_and_switch_off(
    ann: Person, bob: Person, browser: Callable[[Person], FlaskClient]
) -> None:
    client = browser(ann)
    token = {"csrf_token": csrf(client)}
    assert "bob@example.com" in client.get("/admin/users?search=bob").text
    assert "No accounts match" in client.get("/admin/users?search=nobody").text
    answer = client.post(f"/admin/users/{bob.id}/role", data={**token, "role": "admin", "list": "role=user"})
    assert answer.status_code == 303 and answer.location == "/admin/users?role=user"
    assert "Bob" in client.get(f"/admin/users/{bob.id}").text
    answer = client.post(f"/admin/users/{ann.id}/role", data={**token, "role": "user"})
    assert answer.status_code == 303 and "last master administrator" in client.get(answer.location).text
    assert client.post(f"/admin/users/{bob.id}/active", data={**token, "is_active": "false"}).status_code == 303
    assert "switched off" in client.get(f"/admin/users/{bob.id}").text
    bob.call("GET", "/auth/me", 401)


def test_the_pages_give_roles_and_define_them(
    ann: Person, bob: Person, browser: Callable[[Person], FlaskClient]
) -> None:
    client = browser(ann)
    token = {"csrf_token": csrf(client)}
    form = {**token, "name": "Reader", "permissions": ["users:read", "audit:read"]}
    made = client.post("/admin/roles/new", data=form)
    assert made.status_code == 303
    role_id = made.location.rsplit("/", 1)[1]
    assert client.post("/admin/roles/new", data=form).status_code == 422
    refused = client.post("/admin/roles/new", data={**token, "name": "", "permissions": ["users:read"]})
    assert refused.status_code == 422 and 'value="users:read" checked' in refused.text
    placed = {**token, "role_id": role_id, "place": "team:nowhere"}
    assert client.post(f"/admin/users/{bob.id}/roles", data=placed).status_code == 404
    assert client.post(f"/admin/users/{bob.id}/roles", data={**placed, "place": ""}).status_code == 303
    assert len(bob.call("GET", "/users")) == 2
    assert client.post(f"/admin/roles/{role_id}", data={**token, "name": "Reader"}).status_code == 303
    bob.call("GET", "/users", 403)
    (grant,) = ann.call("GET", f"/security/users/{bob.id}/roles")
    assert client.post(f"/admin/users/{bob.id}/roles/{grant['id']}/withdraw", data=token).status_code == 303
    assert client.post(f"/admin/roles/{role_id}/delete", data=token).status_code == 303
    assert "Reader" not in client.get("/admin/roles").text
    other = browser(bob)
    for path in ("/admin/users", f"/admin/users/{ann.id}", "/admin/roles", "/admin/roles/new"):
        assert other.get(path).status_code == 403, path


def test_everybody_hears_which_roles_they_have(ann: Person, bob: Person) -> None:
    role = ann.call("POST", "/security/roles", 201, name="Reader", permissions=["users:read"])
    ann.call("POST", f"/security/users/{bob.id}/roles/{role['id']}")
    for path in ("/users/me", "/auth/me", "/user/profile"):
        mine = bob.call("GET", path)
        assert set(mine) >= FIELDS and mine["roles"] == ["user", "Reader"]
        assert "users:read" in mine["permissions"] and "users:manage" not in mine["permissions"]


def test_nobody_gives_a_role_on_the_platform_that_holds_more_than_they_do(
    ann: Person, bob: Person, eve: Person, app: Flask
) -> None:
    promoter = ann.call("POST", "/security/roles", 201, name="Promoter", permissions=["users:promote"])["id"]
    ann.call("POST", f"/security/users/{bob.id}/roles/{promoter}")
    for role in ("admin", "master_admin"):
        bob.call("PUT", f"/users/{eve.id}/role", 403, role=role)
        bob.call("PUT", f"/users/{bob.id}/role", 403, role=role)
    bob.call("PUT", f"/users/{ann.id}/role", 403, role="user")
    assert bob.call("PUT", f"/users/{eve.id}/role", role="approver")["role"] == "approver"


def test_a_token_gives_no_role_that_holds_more_than_it_does(ann: Person, bob: Person, app: Flask) -> None:
    scopes = ["users:promote"]
    narrow = ann.call("POST", "/dev/tokens", 201, name="narrow", scopes=scopes)["token"]
    whole = ann.call("POST", "/dev/tokens", 201, name="whole", scopes=["read", "write", "deploy", "admin"])["token"]
    Person(app.test_client(), ann.id, ann.email, narrow).call("PUT", f"/users/{bob.id}/role", 403, role="master_admin")
    assert Person(app.test_client(), ann.id, ann.email, whole).call("PUT", f"/users/{bob.id}/role", role="admin")
