"""Roles of one's own over the API: define, change, delete, and what nobody may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from devflow.core.access import DESCRIPTIONS, GRANTABLE, OPEN, SYSTEM_ROLES, TEAM_RIGHTS, Permission
from tests.conftest import Person, csrf

P = Permission


@pytest.fixture
def bob(ann: Person, person: Callable[..., Person]) -> Person:
    """Somebody without any right on the platform."""
    return person("Bob")


@pytest.fixture
def role(ann: Person) -> Callable[..., Any]:
    """Make a role: `role("Shipper", "deployments:create")`."""

    def make(name: str, *permissions: str) -> Any:
        held = {"permissions": list(permissions)} if permissions else {}
        return ann.call("POST", "/security/roles", 201, name=name, **held)

    return make


def test_every_permission_has_its_sentence() -> None:
    assert set(DESCRIPTIONS) == set(Permission)
    assert all(text.endswith(".") and len(text) > 5 for text in DESCRIPTIONS.values())


def test_what_can_be_given_is_what_anybody_holds(ann: Person) -> None:
    listed = {row["name"] for row in ann.call("GET", "/security/permissions")}
    assert listed == {permission.value for permission in GRANTABLE}
    assert not GRANTABLE & OPEN and P.DEPLOYMENTS_RUN not in GRANTABLE
    assert SYSTEM_ROLES["master_admin"] <= GRANTABLE and TEAM_RIGHTS - {P.DEPLOYMENTS_RUN} <= GRANTABLE


def test_a_role_is_made_changed_and_deleted(ann: Person, role: Callable[..., Any]) -> None:
    made = role("Shipper", "deployments:create", "deployments:create")
    assert made["permissions"] == ["deployments:create"] and not made["is_system"] and made["user_count"] == 0
    path = f"/security/roles/{made['id']}"
    assert ann.call("PATCH", path, description="Ships")["description"] == "Ships"
    more = ann.call("POST", f"{path}/permissions", permissions=["projects:read"])
    assert more["permissions"] == ["deployments:create", "projects:read"]
    less = ann.call("POST", f"{path}/permissions", permissions=["projects:read"], mode="remove")
    assert less["permissions"] == ["deployments:create"]
    other = ann.call("POST", f"{path}/permissions", permissions=["teams:read"], mode="replace")
    assert other["permissions"] == ["teams:read"] == ann.call("GET", path)["permissions"]
    ann.call("DELETE", path)
    ann.call("GET", path, 404)
    acts = [entry["action"] for entry in ann.call("GET", "/audit") if entry["resource_id"] == made["id"]]
    assert acts == ["role.deleted", *["role.updated"] * 4, "role.created"]


def test_built_in_roles_are_listed_first_and_locked(ann: Person, bob: Person, role: Callable[..., Any]) -> None:
    role("Auditor", "audit:read")
    rows = ann.call("GET", "/security/roles")
    assert [row["name"] for row in rows] == ["user", "approver", "admin", "master_admin", "Auditor"]
    assert {row["name"]: row["user_count"] for row in rows} == {
        "user": 1, "approver": 0, "admin": 0, "master_admin": 1, "Auditor": 0,
    }  # fmt: skip
    path = f"/security/roles/{rows[0]['id']}"
    assert ann.call("GET", path)["is_system"]
    ann.call("PATCH", path, 403, name="everybody")
    ann.call("DELETE", path, 403)
    ann.call("POST", f"{path}/permissions", 403, permissions=["users:read"])


@pytest.mark.parametrize(("limit", "offset"), [(1, 0), (2, 3), (3, 4), (10, 5), (5, 40)])
def test_pages_of_roles_hold_each_role_once(ann: Person, role: Callable[..., Any], limit: int, offset: int) -> None:
    for name in ("One", "Two", "Six", "Ten"):
        role(name)
    everything = ann.call("GET", "/security/roles?limit=50")
    names = [row["name"] for row in everything]
    assert names == ["user", "approver", "admin", "master_admin", "One", "Six", "Ten", "Two"]
    rows = ann.call("GET", f"/security/roles?limit={limit}&offset={offset}")
    assert [row["name"] for row in rows] == names[offset : offset + limit]


def test_roles_are_found_by_name(ann: Person, role: Callable[..., Any]) -> None:
    role("Release 100%")
    assert [row["name"] for row in ann.call("GET", "/security/roles?search=0%25")] == ["Release 100%"]
    assert ann.call("GET", "/security/roles?search=%25%25") == []


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "  "},
        {"name": "x" * 65},
        {"name": "bell\x07"},
        {"name": "nul\x00"},
        {"name": "ok", "permissions": ["everything:do"]},
        {"name": "ok", "permissions": ["deployments:run"]},
        {"name": "ok", "permissions": ["sessions:create"]},
        {"name": "ok", "permissions": "audit:read"},
        {"name": "ok", "permissions": [None]},
        {"name": "ok", "permissions": []},
        {"name": "ok", "description": "x" * 501},
    ],
)
def test_rubbish_is_refused(ann: Person, body: dict[str, Any]) -> None:
    assert ann.call("POST", "/security/roles", 422, **body)["code"] == "VALIDATION_ERROR"


def test_a_role_that_allows_nothing_is_refused_with_a_sentence(
    ann: Person, browser: Callable[[Person], FlaskClient]
) -> None:
    said = "A role has to allow something. Choose at least one permission."
    errors = ann.call("POST", "/security/roles", 422, name="Idler", permissions=[])["details"]["errors"]
    assert errors == [{"field": "permissions", "message": said}]
    client = browser(ann)
    refused = client.post("/admin/roles/new", data={"csrf_token": csrf(client), "name": "Idler"})
    assert refused.status_code == 422 and said in refused.text and 'value="Idler"' in refused.text
    assert ann.call("GET", "/security/roles?search=idler") == []


@pytest.mark.parametrize("name", ["shipper", "Shipper", "ADMIN", "user"])
def test_two_roles_are_never_called_the_same(ann: Person, role: Callable[..., Any], name: str) -> None:
    role("Shipper")
    ann.call("POST", "/security/roles", 409, name=name)
    other = role("Other")
    ann.call("PATCH", f"/security/roles/{other['id']}", 409, name=name)
    ann.call("PATCH", f"/security/roles/{other['id']}", name="OTHER")


def test_only_administrators_define_roles(ann: Person, bob: Person, role: Callable[..., Any]) -> None:
    made = role("Shipper")
    bob.call("GET", "/security/roles", 403)
    bob.call("GET", "/security/permissions", 403)
    bob.call("POST", "/security/roles", 403, name="")  # before it is looked at
    for method in ("GET", "PATCH", "DELETE"):
        bob.call(method, f"/security/roles/{made['id']}", 403)
        bob.call(method, "/security/roles/nowhere", 403)


def test_nobody_defines_a_role_beyond_their_own(ann: Person, bob: Person, role: Callable[..., Any]) -> None:
    crowned = role("Kingmaker", "users:promote", "users:read")
    ann.call("PUT", f"/users/{bob.id}/role", role="admin")
    bob.call("POST", "/security/roles", 403, name="Crown", permissions=["users:promote"])
    path = f"/security/roles/{crowned['id']}"
    bob.call("PATCH", path, 403, permissions=["users:read"])
    bob.call("DELETE", path, 403)
    bob.call("POST", f"{path}/permissions", 403, permissions=["users:promote"], mode="remove")
    bob.call("PATCH", path, description="who makes kings")
    bob.call("POST", f"{path}/permissions", permissions=["users:read"], mode="remove")
    mine = bob.call("POST", "/security/roles", 201, name="Reader", permissions=["users:read"])
    bob.call("PATCH", f"/security/roles/{mine['id']}", 403, permissions=["users:read", "users:promote"])


def test_what_a_role_allows_counts_from_the_next_request(ann: Person, bob: Person, role: Callable[..., Any]) -> None:
    made = role("Reader")
    ann.call("POST", f"/security/users/{bob.id}/roles/{made['id']}")
    bob.call("GET", "/users", 403)
    ann.call("PATCH", f"/security/roles/{made['id']}", permissions=["users:read"])
    assert len(bob.call("GET", "/users")) == 2
    ann.call("DELETE", f"/security/roles/{made['id']}")
    bob.call("GET", "/users", 403)
    assert ann.call("GET", f"/security/users/{bob.id}/roles") == []


def test_a_role_given_on_a_project_stays_one_that_means_something_there(
    ann: Person, bob: Person, role: Callable[..., Any]
) -> None:
    project = ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git")
    made = role("Shipper", "deployments:create")
    ann.call("POST", f"/security/users/{bob.id}/roles/{made['id']}", project_id=project["id"])
    error = ann.call("PATCH", f"/security/roles/{made['id']}", 409, permissions=["users:read"])
    assert "users:read" in error["message"]
    ann.call("PATCH", f"/security/roles/{made['id']}", permissions=["deployments:create", "projects:read"])
