"""What a token may do: its scopes, its owner's rights and its limits together, asked anew with each request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from flask import Flask
from sqlalchemy import update

from devflow.core import epoch
from devflow.core.access import SYSTEM
from devflow.core.db import db
from devflow.features.teams.events import MemberRemoved
from devflow.features.teams.models import Member, Team
from devflow.features.tokens import listeners
from tests.conftest import Join, Person
from tests.features.tokens.conftest import Token


@dataclass
class House:
    """Ann has a team with two projects; Bob belongs to it as an admin, and has a team and a project of his own."""

    ann: Person
    bob: Person
    team: str
    shop: str
    blog: str
    own_team: str
    own: str
    deployment: str
    """Of the blog."""


@pytest.fixture
def house(ann: Person, person: Callable[..., Person], join: Join) -> House:
    bob = person("Bob")
    shop = ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git")
    blog = ann.call("POST", "/projects", 201, repository_url="https://example.com/blog.git")
    own = bob.call("POST", "/projects", 201, repository_url="https://example.com/own.git")
    join(bob, shop["team_id"], "admin")
    deployment = ann.call("POST", f"/projects/{blog['id']}/deploy", 201)
    return House(ann, bob, shop["team_id"], shop["id"], blog["id"], own["team_id"], own["id"], deployment["id"])


def names(who: Person, path: str = "/projects") -> set[str]:
    return {row["name"] for row in who.call("GET", path)}


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (["read"], {"read"}),
        (["write"], {"write"}),
        (["deploy"], {"deploy"}),
        (["admin"], {"admin"}),
        (["read", "deploy"], {"read", "deploy"}),
        (["projects:read"], {"read"}),
        (["projects:update"], {"write"}),
        (["deployments:create"], {"deploy"}),
    ],
)
def test_scopes_open_what_they_name_and_nothing_else(
    house: House, token: Token, scopes: list[str], allowed: set[str]
) -> None:
    ci = token(house.ann, scopes)
    tries = {
        "read": ("GET", f"/projects/{house.shop}", 200, {}),
        "write": ("PUT", f"/projects/{house.shop}", 200, {"description": "A shop"}),
        "deploy": ("POST", f"/projects/{house.shop}/deploy", 201, {}),
        "admin": ("GET", "/audit", 200, {}),
    }
    for word, (method, path, good, body) in tries.items():
        if word in allowed:
            ci.call(method, path, good, **body)
        else:
            error = ci.call(method, path, 403, **body)
            assert error["code"] == "AUTHORIZATION_FAILED" and error["details"]["scope"] == word, error


def test_a_token_never_does_more_than_its_owner(house: House, token: Token, app: Flask) -> None:
    ci = token(house.bob, ["read", "write", "deploy"])
    ci.call("PUT", f"/projects/{house.shop}", description="Bob was here")
    set_role(app, house.bob, house.team, "viewer")
    error = ci.call("PUT", f"/projects/{house.shop}", 403, description="and here")
    assert error["code"] == "FORBIDDEN"  # the role's fault, not the scope's
    assert names(ci) == {"shop", "blog", "own"}
    set_role(app, house.bob, house.team, None)
    ci.call("GET", f"/projects/{house.shop}", 404)
    assert names(ci) == {"own"}


def set_role(app: Flask, who: Person, team: str, role: str | None) -> None:
    with app.app_context():
        values = {"role": role} if role else {"status": "removed"}
        db.session.execute(update(Member).where(Member.user_id == who.id, Member.team_id == team).values(**values))
        db.session.commit()


def test_a_token_for_one_team_knows_no_other(house: House, token: Token) -> None:
    ci = token(house.bob, ["read", "write", "deploy"], team_id=house.team)
    assert names(ci) == {"shop", "blog"}
    ci.call("GET", f"/projects/{house.own}", 404)
    ci.call("PUT", f"/projects/{house.own}", 404, description="x")
    ci.call("POST", f"/projects/{house.own}/deploy", 404)
    assert ci.call("GET", f"/projects?team_id={house.own_team}") == []
    assert [row["id"] for row in ci.call("GET", "/deployments")] == [house.deployment]
    ci.call("PUT", f"/projects/{house.shop}", description="fine")
    made = ci.call("POST", "/projects", 201, repository_url="https://example.com/new.git")
    assert made["team_id"] == house.team  # and not his personal one


def test_a_token_for_one_project_knows_no_other_nor_the_team(house: House, token: Token) -> None:
    ci = token(house.ann, ["read", "write", "deploy", "admin"], project_ids=[house.shop])
    assert names(ci) == {"shop"}
    ci.call("GET", f"/projects/{house.blog}", 404)
    ci.call("DELETE", f"/projects/{house.blog}", 404)
    ci.call("GET", f"/deployments/{house.deployment}", 404)
    assert ci.call("GET", "/deployments") == []
    mine = ci.call("POST", f"/projects/{house.shop}/deploy", 201)
    assert [row["id"] for row in ci.call("GET", "/deployments")] == [mine["id"]]
    for method, path, body in [
        ("POST", "/projects", {"repository_url": "https://example.com/new.git"}),
        ("PUT", "/user/profile", {"name": "Eve"}),
        ("GET", "/audit", {}),
        ("GET", "/users", {}),
    ]:
        assert ci.call(method, path, 403, **body)["code"] == "AUTHORIZATION_FAILED", path


def test_counts_are_limited_as_lists_are(house: House, token: Token) -> None:
    ci = token(house.ann, ["read"], project_ids=[house.shop])
    for path in ("/projects", "/deployments"):
        answer = ci.client.get(f"/api/v1{path}", headers={"Authorization": f"Bearer {ci.token}"}).get_json()
        assert answer["meta"]["pagination"]["total"] == len(answer["data"]), path


def test_an_administrators_limited_token_reaches_no_strangers_things(house: House, token: Token) -> None:
    """The role on the platform holds everywhere, the token does not."""
    everywhere, limited = token(house.ann, ["read"]), token(house.ann, ["read"], team_id=house.team)
    assert everywhere.call("GET", f"/projects/{house.own}")["id"] == house.own
    limited.call("GET", f"/projects/{house.own}", 404)
    assert limited.call("GET", f"/projects?team_id={house.own_team}") == []


def test_a_token_cannot_be_for_what_its_owner_does_not_see(house: House) -> None:
    bob, eve = house.bob, house.bob
    set_foreign = {"name": "ci", "project_ids": ["00000000-0000-7000-8000-000000000000"]}
    assert bob.call("POST", "/dev/tokens", 404, **set_foreign)["code"] == "RESOURCE_NOT_FOUND"
    mixed = {"name": "ci", "team_id": house.own_team, "project_ids": [house.shop]}
    assert eve.call("POST", "/dev/tokens", 422, **mixed)["code"] == "VALIDATION_ERROR"


def test_a_foreign_team_or_project_cannot_be_told_from_none(house: House, person: Callable[..., Person]) -> None:
    eve = person("Eve")
    errors = [
        eve.call("POST", "/dev/tokens", 404, name="ci", **limit)["message"].replace(key, "X")
        for key, limit in [
            (house.shop, {"project_ids": [house.shop]}),
            ("00000000-0000-7000-8000-000000000000", {"project_ids": ["00000000-0000-7000-8000-000000000000"]}),
        ]
    ]
    assert errors[0] == errors[1]
    eve.call("POST", "/dev/tokens", 404, name="ci", team_id=house.team)


def test_a_token_makes_only_narrower_tokens(house: House, token: Token) -> None:
    parent = token(house.ann, ["read", "write"], expires_in_days=30)
    child = parent.call("POST", "/dev/tokens", 201, name="child", scopes=["read"])
    assert child["expires_at"] <= house.ann.call("GET", "/dev/tokens?limit=2")[1]["expires_at"]
    for wider in (
        {"scopes": ["read", "deploy"]},
        {"scopes": ["admin"]},
        {"scopes": ["users:manage"]},
        {"scopes": ["read"], "expires_in_days": 31},
        {"scopes": ["read"], "never": True},
    ):
        assert parent.call("POST", "/dev/tokens", 403, name="x", **wider)["code"] == "AUTHORIZATION_FAILED", wider
    assert {row["name"] for row in house.ann.call("GET", "/dev/tokens")} == {"ci", "child"}


def test_a_limited_token_makes_only_tokens_with_its_limits(house: House, token: Token) -> None:
    parent = token(house.ann, ["read", "write"], project_ids=[house.shop], team_id=house.team)
    parent.call("POST", "/dev/tokens", 201, name="x", scopes=["read"], project_ids=[house.shop], team_id=house.team)
    for wider in (
        {},
        {"team_id": house.team},
        {"project_ids": [house.shop]},
        {"project_ids": [house.blog], "team_id": house.team},
        {"project_ids": [house.shop, house.blog], "team_id": house.team},
    ):
        answer = parent.client.post(
            "/api/v1/dev/tokens", json={"name": "x", **wider}, headers={"Authorization": f"Bearer {parent.token}"}
        )
        assert answer.status_code in (403, 404), (wider, answer.text)
    assert len(house.ann.call("GET", "/dev/tokens")) == 2


def test_a_token_cannot_take_over_a_wider_one(house: House, token: Token) -> None:
    """Rotating somebody's wider token would give its new value to the narrower one."""
    wide, narrow = token(house.ann, ["read", "write", "admin"]), token(house.ann, ["read", "write"])
    for method, path, body in [
        ("PATCH", "/rotate", {}), ("PATCH", "/scopes", {"scopes": ["read"]}), ("DELETE", "", {}),
    ]:  # fmt: skip
        assert narrow.call(method, f"/dev/tokens/{wide.id}{path}", 403, **body)["code"] == "AUTHORIZATION_FAILED"
    assert narrow.call("PATCH", f"/dev/tokens/{narrow.id}/scopes", 403, scopes=["admin"])
    wide.call("PATCH", f"/dev/tokens/{narrow.id}/scopes", scopes=["read"])
    assert narrow.call("POST", "/dev/tokens", 403, name="x", scopes=["read"])["details"]["scope"] == "write"


def test_a_token_may_rotate_itself(house: House, token: Token) -> None:
    ci = token(house.ann, ["write"], expires_in_days=30)
    made = ci.call("PATCH", f"/dev/tokens/{ci.id}/rotate")
    assert Person(ci.client, ci.id, ci.email, made["token"]).call("GET", "/auth/verify")["valid"]
    again = Person(ci.client, ci.id, ci.email, made["token"])
    assert again.call("PATCH", f"/dev/tokens/{ci.id}/rotate", 403, expires_in_days=90)["code"] == "AUTHORIZATION_FAILED"


def test_a_token_cannot_change_how_its_owner_signs_in(house: House, token: Token) -> None:
    """A leaked one could lock the owner out (a second factor of its own) or take the account over."""
    ci = token(house.ann, ["read", "write", "admin"])
    for method, path in [("POST", "/auth/two-factor"), ("POST", "/auth/two-factor/recovery-codes")]:
        error = ci.call(method, path, 403)
        assert error["code"] == "AUTHORIZATION_FAILED" and "API token" in error["message"], path
    ci.call("PUT", "/user/profile", name="Ann Lovelace")


def test_an_idempotency_key_gives_one_tokens_answer_to_no_other(house: House, token: Token) -> None:
    wide, narrow = token(house.ann, ["read", "write", "deploy"]), token(house.ann, ["write"])
    answers = [
        who.client.post(
            "/api/v1/dev/tokens",
            json={"name": "x", "scopes": ["deploy"]},
            headers={"Authorization": f"Bearer {who.token}", "Idempotency-Key": "0123456789"},
        )
        for who in (wide, narrow)
    ]
    assert [answer.status_code for answer in answers] == [201, 403]


def test_whoever_leaves_a_team_leaves_the_tokens_for_it(house: House, token: Token, app: Flask) -> None:
    bound, free = token(house.bob, ["read"], team_id=house.team), token(house.bob, ["read"])
    kept = token(house.ann, ["read"], team_id=house.team)
    with app.app_context():
        before = epoch.current()
        listeners.end_in_team(MemberRemoved(house.team, house.bob.id))
        listeners.end_in_team(MemberRemoved(house.team, house.bob.id))  # facts are heard at least once
        assert epoch.current() > before
    bound.call("GET", "/auth/verify", 401)
    assert free.call("GET", "/auth/verify")["valid"] and kept.call("GET", "/auth/verify")["valid"]
    [row] = house.bob.call("GET", "/dev/tokens?active=false")
    assert row["id"] == bound.id


def test_rights_that_go_wake_open_connections(house: House, token: Token, app: Flask) -> None:
    ci = token(house.ann, ["read", "write"])

    def grown(method: str, path: str, **body: object) -> bool:
        with app.app_context():
            before = epoch.current()
            db.session.rollback()
        house.ann.call(method, f"/dev/tokens/{ci.id}{path}", **body)
        with app.app_context():
            return epoch.current() > before

    assert grown("PATCH", "/scopes", scopes=["read"])
    assert grown("PATCH", "/rotate")
    assert grown("DELETE", "")


def test_a_deleted_team_takes_its_tokens_along(house: House, token: Token, app: Flask) -> None:
    ci = token(house.bob, ["read"], team_id=house.own_team)
    with app.app_context():
        team = db.session.get(Team, house.own_team)
        assert team is not None and SYSTEM.everything
        team.deleted_at = team.created_at
        db.session.commit()
    assert ci.call("GET", "/projects") == []


def test_a_token_whose_projects_are_gone_is_not_unlimited_then(house: House, token: Token) -> None:
    ci = token(house.ann, ["read"], project_ids=[house.shop])
    house.ann.call("DELETE", f"/projects/{house.shop}?force=true", 200)
    assert names(ci) <= {"shop"}
    ci.call("GET", f"/projects/{house.blog}", 404)


def test_a_token_for_some_addresses_makes_none_for_more(ann: Person, token: Token) -> None:
    scopes = ["read", "tokens:manage"]
    bound = token(ann, scopes, allowed_ips=["127.0.0.0/8"])
    bound.call("POST", "/dev/tokens", 403, name="anywhere", scopes=["read"])
    bound.call("POST", "/dev/tokens", 403, name="wider", scopes=["read"], allowed_ips=["127.0.0.1", "10.0.0.0/8"])
    bound.call("POST", "/dev/tokens", 201, name="narrower", scopes=["read"], allowed_ips=["127.0.0.1"])
    free = token(ann, scopes)
    bound.call("PATCH", f"/dev/tokens/{free.id}/rotate", 403)
    free.call("PATCH", f"/dev/tokens/{bound.id}/rotate")
