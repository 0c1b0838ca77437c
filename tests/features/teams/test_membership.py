"""Who belongs to a team: roles, the last owner, removing, leaving, and what that ends."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from devflow.core import epoch
from devflow.core.db import db
from devflow.features.audit.models import Entry
from devflow.features.roles.models import Assignment, Role
from tests.conftest import Join, Person

Make = Callable[..., Person]


def members(who: Person, team: str, **asked: str) -> dict[str, Any]:
    words = "&".join(f"{name}={value}" for name, value in asked.items())
    return {row["name"]: row for row in who.call("GET", f"/team/members?team_id={team}&{words}")}


def test_the_list_filters_and_follows_the_names_people_have_now(
    ann: Person, person: Make, team: str, join: Join
) -> None:
    bob = person("Bob")
    join(bob, team, "viewer")
    ann.call("POST", "/team/members", 201, team_id=team, email="cleo@example.com", name="Cleo")
    assert list(members(ann, team)) == ["Ann", "Bob", "Cleo"]
    assert list(members(bob, team, role="viewer")) == ["Bob"]
    assert list(members(ann, team, status="pending")) == ["Cleo"]
    assert list(members(ann, team, search="BOB@")) == ["Bob"]
    bob.call("PUT", "/user/profile", name="Robert")
    assert list(members(ann, team, role="viewer")) == ["Robert"]
    assert list(members(ann, team, search="robert")) == ["Robert"]
    ann.call("GET", f"/team/members?team_id={team}&status=elsewhere", 422)


def test_the_team_may_be_named_in_a_header_and_is_otherwise_ones_own(ann: Person, team: str) -> None:
    headers = {"Authorization": f"Bearer {ann.token}"}
    own = ann.client.get("/api/v1/team/members", headers=headers).get_json()["data"]
    other = ann.client.get("/api/v1/team/members", headers={**headers, "X-Team-Id": team}).get_json()["data"]
    assert own[0]["team_id"] != team and other[0]["team_id"] == team
    wrong = ann.client.get("/api/v1/team/members", headers={**headers, "X-Team-Id": "nowhere"})
    assert wrong.status_code == 404


@pytest.mark.parametrize("way", ["team_id", "teamId", "header", "body"])
def test_who_is_invited_comes_into_the_team_that_was_named(ann: Person, team: str, way: str) -> None:
    headers = {"Authorization": f"Bearer {ann.token}"} | ({"X-Team-Id": team} if way == "header" else {})
    query = {way: team} if way.startswith("team") else {}
    body = {"email": "bob@example.com"} | ({"team_id": team} if way == "body" else {})
    made = ann.client.post("/api/v1/team/members", headers=headers, query_string=query, json=body)
    assert made.status_code == 201 and made.get_json()["data"]["team_id"] == team


def test_a_place_that_was_taken_does_not_end(
    ann: Person, person: Make, team: str, token_for: Callable[[str], str]
) -> None:
    ann.call("POST", "/team/members", 201, team_id=team, email="bob@example.com")
    assert members(ann, team, status="pending")[""]["expires_at"]
    joined = person("Bob").call("POST", f"/team/invitations/{token_for('bob@example.com')}/accept")
    assert joined["expires_at"] is None and members(ann, team)["Bob"]["expires_at"] is None


def test_one_member_with_what_they_may_do_and_see(ann: Person, person: Make, team: str, join: Join) -> None:
    bob = person("Bob")
    join(bob, team, "viewer")
    project = ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git", team_id=team)
    found = bob.call("GET", f"/team/members/{members(ann, team)['Bob']['id']}")
    assert "projects:read" in found["permissions"] and "projects:create" not in found["permissions"]
    assert found["projects"] == [{"id": project["id"], "name": "shop"}]
    (first, second) = ann.call("GET", "/teams")
    assert (first["project_count"], second["project_count"], second["member_count"]) == (0, 1, 2)


def test_a_role_counts_from_the_next_request_on(ann: Person, person: Make, team: str, join: Join) -> None:
    bob = person("Bob")
    join(bob, team, "viewer")
    create = {"repository_url": "https://example.com/shop.git", "team_id": team}
    bob.call("POST", "/projects", 403, **create)
    changed = ann.call("PATCH", f"/team/members/{members(ann, team)['Bob']['id']}/role", role="developer")
    assert changed["role"] == "member"
    bob.call("POST", "/projects", 201, **create)
    ann.call("PATCH", f"/team/members/{members(ann, team)['Bob']['id']}/role", role="viewer")
    bob.call("POST", "/projects", 403, **create)


@pytest.mark.parametrize(
    ("mine", "theirs", "wanted", "status"),
    [
        ("viewer", "viewer", "member", 403), ("member", "viewer", "member", 403), ("admin", "viewer", "admin", 200),
        ("admin", "viewer", "owner", 403), ("admin", "owner", "viewer", 403), ("owner", "owner", "viewer", 200),
    ],
)  # fmt: skip
def test_nobody_gives_or_takes_what_is_above_them(
    ann: Person, person: Make, team: str, join: Join, mine: str, theirs: str, wanted: str, status: int
) -> None:
    bob, cleo = person("Bob"), person("Cleo")
    join(bob, team, mine)
    join(cleo, team, theirs)
    bob.call("PATCH", f"/team/members/{members(ann, team)['Cleo']['id']}/role", status, role=wanted)
    if status == 403 and mine == "admin" and theirs == "owner":
        bob.call("DELETE", f"/team/members/{members(ann, team)['Cleo']['id']}", 403)


def test_the_last_owner_stays(ann: Person, person: Make, team: str, join: Join) -> None:
    me = members(ann, team)["Ann"]["id"]
    for method, path, body in (
        ("PATCH", f"/team/members/{me}/role", {"role": "admin"}), ("DELETE", f"/team/members/{me}", {}),
        ("POST", f"/teams/{team}/leave", {}),
    ):  # fmt: skip
        assert ann.call(method, path, 409, **body)["code"] == "CONFLICT"
    bob = person("Bob")
    join(bob, team, "owner")
    ann.call("POST", f"/teams/{team}/leave")
    assert list(members(bob, team)) == ["Bob"]
    assert bob.call("POST", f"/teams/{team}/leave", 409)["code"] == "CONFLICT"


def test_ones_own_team_cannot_be_left_or_taken(ann: Person, person: Make, join: Join) -> None:
    own, bob = ann.call("GET", "/teams")[0]["id"], person("Bob")
    join(bob, own, "owner")
    me = members(bob, own)["Ann"]["id"]
    assert ann.call("POST", f"/teams/{own}/leave", 409)
    assert bob.call("DELETE", f"/team/members/{me}", 409)
    assert bob.call("PATCH", f"/team/members/{me}/role", 409, role="viewer")
    assert ann.call("DELETE", f"/teams/{own}", 409, confirm="Ann")["code"] == "CONFLICT"


def test_two_owners_leaving_from_two_tabs_at_once_leave_one(
    app: Flask, ann: Person, person: Make, team: str, join: Join
) -> None:
    bob = person("Bob")
    join(bob, team, "owner")

    def leave(who: Person) -> int:
        headers = {"Authorization": f"Bearer {who.token}"}
        return app.test_client().post(f"/api/v1/teams/{team}/leave", json={}, headers=headers).status_code

    with ThreadPoolExecutor(2) as tabs:
        assert sorted(tabs.map(leave, (ann, bob))) == [200, 409]


def test_removing_ends_every_right_at_once(
    app: Flask, ann: Person, person: Make, team: str, join: Join, browser: Callable[[Person], FlaskClient]
) -> None:
    bob = person("Bob")
    join(bob, team, "admin")
    project = bob.call("POST", "/projects", 201, repository_url="https://example.com/shop.git", team_id=team)
    with app.app_context():
        role = Role(name="reader", permissions=["projects:read"])
        db.session.add(role)
        db.session.flush()
        for scope, place in (("team", team), ("project", project["id"])):
            of_project = place if scope == "project" else None
            db.session.add(
                Assignment(
                    user_id=bob.id, role_id=role.id, scope=scope, place=place, team_id=team, project_id=of_project
                )
            )
        db.session.commit()
        before = epoch.current()
    client = browser(bob)
    assert client.get(f"/projects/{project['slug']}").status_code == 200
    ann.call("DELETE", f"/team/members/{members(ann, team)['Bob']['id']}")
    bob.call("GET", f"/projects/{project['id']}", 404)
    assert client.get(f"/projects/{project['slug']}").status_code == 404
    assert [row["is_personal"] for row in bob.call("GET", "/teams")] == [True]
    assert list(members(ann, team, status="removed")) == ["Bob"]
    with app.app_context():
        assert epoch.current() > before  # open sockets look again
    ann.call("DELETE", f"/team/members/{members(ann, team, status='removed')['Bob']['id']}", 404)


def test_everything_is_in_the_ledger_and_told_to_the_team(
    app: Flask, ann: Person, person: Make, team: str, join: Join
) -> None:
    bob = person("Bob")
    join(bob, team, "viewer")
    there = members(ann, team)["Bob"]["id"]
    ann.call("PATCH", f"/team/members/{there}/role", role="admin")
    bob.call("DELETE", f"/team/members/{there}")  # oneself one may always remove
    acts = ann.call("GET", f"/team/activity-logs?team_id={team}")
    assert [(act["user_name"], act["action"]) for act in acts] == [
        ("Bob", "member.left"), ("Ann", "member.role_changed"), ("Ann", "team.created"),
    ]  # fmt: skip
    assert acts[1]["description"] == "changed the role of Bob to admin"
    only = ann.call("GET", f"/team/activity-logs?team_id={team}&user_id={bob.id}")
    assert [act["action"] for act in only] == ["member.left"]
    with app.app_context():
        changed = db.session.scalars(select(Entry).where(Entry.action == "member.role_changed")).one()
        assert changed.changes == {"role": ["viewer", "admin"]} and changed.team_id == team


def test_the_page_changes_a_role_and_says_what_does_not_work(
    ann: Person, person: Make, team: str, join: Join, browser: Callable[[Person], FlaskClient]
) -> None:
    bob = person("Bob")
    join(bob, team, "viewer")
    client = browser(ann)
    page = client.get("/dashboard").text
    token = page.split('name="csrf_token"', 1)[1].split('value="', 1)[1].split('"', 1)[0]
    assert client.post("/team/switch", data={"csrf_token": token, "team_id": team}).status_code == 303
    ids = {name: row["id"] for name, row in members(ann, team).items()}
    form = {"csrf_token": token, "role": "admin"}
    assert client.post(f"/team/members/{ids['Bob']}/role", data=form).status_code == 303
    assert "Bob is admin now" in client.get("/team").text
    client.post(f"/team/members/{ids['Ann']}/role", data=form)
    assert "Ann is the last owner of Storefront" in client.get("/team").text
    assert members(ann, team)["Ann"]["role"] == "owner"
    client.post(f"/team/members/{ids['Bob']}/remove", data=form)
    assert list(members(ann, team)) == ["Ann"]
