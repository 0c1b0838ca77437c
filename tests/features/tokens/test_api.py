"""API tokens over the API: make, list, rotate, change, revoke."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import inspect, select, text

from devflow.core.clock import now
from devflow.core.crypto import digest
from devflow.core.db import db
from devflow.features.audit.models import Entry
from devflow.features.mail.models import Letter
from devflow.features.tokens.models import ApiToken, TokenValue
from tests.conftest import PASSWORD, Person
from tests.features.tokens.conftest import Token

LISTED = {
    "id", "name", "token_prefix", "scopes", "permissions", "last_used_at", "expires_at", "revoked_at", "created_at",
}  # fmt: skip


def refused(who: Person, path: str = "/auth/verify") -> str:
    return str(who.call("GET", path, 401)["code"])


def test_a_token_is_made_shown_once_and_works(app: Flask, ann: Person) -> None:
    made = ann.call("POST", "/dev/tokens", 201, name="ci", scopes=["read"])
    assert set(made) == LISTED | {"token"}
    assert made["token"].startswith(made["token_prefix"]) and len(made["token_prefix"]) == 8
    [listed] = ann.call("GET", "/dev/tokens")
    assert set(listed) == LISTED and listed["permissions"] == ["read"]
    who = Person(app.test_client(), made["id"], ann.email, made["token"])
    assert who.call("GET", "/users/me")["id"] == ann.id


def test_no_table_holds_a_value(app: Flask, ann: Person) -> None:
    value = ann.call("POST", "/dev/tokens", 201, name="ci")["token"]
    with app.app_context():
        for table in inspect(db.engine).get_table_names():
            for row in db.session.execute(text(f"SELECT * FROM {table}")):
                assert value[8:-4] not in str(row), table
        assert db.session.get(TokenValue, digest(value)) is not None


def test_without_more_it_reads_and_lasts_a_year(ann: Person) -> None:
    made = ann.call("POST", "/dev/tokens", 201, token_name="ci")
    assert made["name"] == "ci" and made["scopes"] == ["read"]
    assert made["expires_at"][:10] == f"{now() + timedelta(days=365):%Y-%m-%d}"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, None),
        ({"name": "x" * 121}, "name"),
        ({"name": "a\nBcc: eve@example.com"}, "name"),
        ({"name": "a\x00b"}, None),
        ({"name": "a", "scopes": []}, "scopes"),
        ({"name": "a", "scopes": ["everything"]}, "scopes.0"),
        ({"name": "a", "scopes": ["projects:sink"]}, "scopes.0"),
        ({"name": "a", "scopes": "read"}, "scopes"),
        ({"name": "a", "scopes": ["read"] * 101}, "scopes"),
        ({"name": "a", "expires_in_days": -1}, "expires_in_days"),
        ({"name": "a", "expires_in_days": 366}, "expires_in_days"),
        ({"name": "a", "expires_in_days": 10**18}, "expires_in_days"),
        ({"name": "a", "expires_in_days": "soon"}, "expires_in_days"),
        ({"name": "a", "allowed_ips": ["example.com"]}, "allowed_ips"),
        ({"name": "a", "allowed_ips": ["\x00"]}, None),
        ({"name": "a", "project_ids": ["a\x00b"]}, None),
        ({"name": "a", "project_ids": ["../etc"]}, "project_ids.0"),
    ],
)
def test_rubbish_is_refused(ann: Person, body: dict[str, Any], field: str | None) -> None:
    error = ann.call("POST", "/dev/tokens", 422, **(body or {"scopes": ["read"]}))
    fields = {problem["field"] for problem in error["details"]["errors"]}
    assert field is None or field in fields, error


def test_the_end_of_a_token(ann: Person, person: Callable[..., Person], token: Token) -> None:
    bob = person("Bob")
    assert ann.call("POST", "/dev/tokens", 201, name="a", never=True)["expires_at"] is None
    assert ann.call("POST", "/dev/tokens", 201, name="a", expires_in_days=0)["expires_at"] is None
    assert bob.call("POST", "/dev/tokens", 403, name="a", never=True)["code"] == "FORBIDDEN"
    assert bob.call("POST", "/dev/tokens", 403, name="a", expiresInDays=0)["code"] == "FORBIDDEN"
    short = token(bob, expires_in_days=7)
    with time_machine.travel(now() + timedelta(days=6, hours=23)):
        assert short.call("GET", "/auth/verify")["valid"] is True
    with time_machine.travel(now() + timedelta(days=7, seconds=1)):
        assert refused(short) == "UNAUTHORIZED"
    with time_machine.travel(now() - timedelta(days=400)):  # a clock that jumps back brings nothing to life, nor kills
        assert short.call("GET", "/auth/verify")["valid"] is True


def test_a_scope_beyond_ones_own_rights_is_refused(ann: Person, person: Callable[..., Person]) -> None:
    bob = person("Bob")
    for scope in ("users:manage", "platform:manage", "users:read"):
        assert bob.call("POST", "/dev/tokens", 403, name="a", scopes=["read", scope])["code"] == "FORBIDDEN"
    made = bob.call("POST", "/dev/tokens", 201, name="a", scopes=["read"])
    bob.call("PATCH", f"/dev/tokens/{made['id']}/scopes", 403, scopes=["users:manage"])
    assert bob.call("GET", "/dev/tokens")[0]["scopes"] == ["read"]
    assert ann.call("POST", "/dev/tokens", 201, name="a", scopes=["users:manage"])["scopes"] == ["users:manage"]


def test_somebody_elses_tokens_do_not_exist(ann: Person, person: Callable[..., Person], token: Token) -> None:
    his = token(person("Bob"))
    for method, path in [
        ("PATCH", "/rotate"), ("PATCH", "/scopes"), ("DELETE", ""), ("GET", "/usage"),
    ]:  # fmt: skip
        body = {"scopes": ["read"]} if path == "/scopes" else {}
        assert ann.call(method, f"/dev/tokens/{his.id}{path}", 404, **body)["code"] == "RESOURCE_NOT_FOUND"
        assert ann.call(method, f"/dev/tokens/nothing{path}", 404, **body)["code"] == "RESOURCE_NOT_FOUND"
    assert ann.call("GET", "/dev/tokens") == []
    assert his.call("GET", "/auth/verify")["valid"]


def test_a_revoked_token_ends_with_the_next_request_and_stays_in_the_list(ann: Person, token: Token) -> None:
    ci = token(ann)
    ann.call("DELETE", f"/dev/tokens/{ci.id}")
    assert refused(ci) == "UNAUTHORIZED"
    [row] = ann.call("GET", "/dev/tokens")
    assert row["revoked_at"]
    ann.call("DELETE", f"/dev/tokens/{ci.id}")
    assert ann.call("GET", "/dev/tokens") == [row]  # twice changes nothing
    assert ann.call("PATCH", f"/dev/tokens/{ci.id}/rotate", 409)["code"] == "INVALID_STATE"
    assert ann.call("PATCH", f"/dev/tokens/{ci.id}/scopes", 409, scopes=["read"])["code"] == "INVALID_STATE"
    assert ann.call("GET", "/dev/tokens?active=true") == []
    assert [one["id"] for one in ann.call("GET", "/dev/tokens?active=false")] == [ci.id]


def test_scopes_change_with_the_next_request(ann: Person, token: Token) -> None:
    ci = token(ann, ["read", "write"])
    ci.call("POST", "/projects", 201, repository_url="https://example.com/a.git")
    changed = ann.call("PATCH", f"/dev/tokens/{ci.id}/scopes", scopes=["read"])
    assert set(changed) == LISTED and changed["scopes"] == ["read"]
    error = ci.call("POST", "/projects", 403, repository_url="https://example.com/b.git")
    assert error["code"] == "AUTHORIZATION_FAILED" and error["details"]["scope"] == "write"
    assert "write" in error["message"]
    ann.call("PATCH", f"/dev/tokens/{ci.id}/scopes", 422, scopes=["reed"])


def test_making_and_widening_ask_who_it_is_after_a_while(ann: Person, token: Token) -> None:
    ci = token(ann, ["read", "write"])
    with time_machine.travel(now() + timedelta(minutes=59)):
        ann.call("POST", "/dev/tokens", 201, name="in time")
    login = {"email": ann.email, "password": PASSWORD}
    with app_clock(ann, login, timedelta(hours=2)) as late:
        for method, path, body in [
            ("POST", "/dev/tokens", {"name": "late"}),
            ("PATCH", f"/dev/tokens/{ci.id}/rotate", {}),
            ("PATCH", f"/dev/tokens/{ci.id}/scopes", {"scopes": ["read", "write", "deploy"]}),
        ]:
            assert late.call(method, path, 403, **body)["code"] == "REAUTHENTICATION_REQUIRED", path
        late.call("PATCH", f"/dev/tokens/{ci.id}/scopes", scopes=["read"])  # less is always allowed
        late.call("DELETE", f"/dev/tokens/{ci.id}")


class app_clock:
    """The same session, later: its access token is renewed, the proof is not."""

    def __init__(self, who: Person, login: dict[str, str], later: timedelta) -> None:
        answer = who.client.post("/api/v1/auth/login", json=login)
        self._refresh = answer.get_json()["data"]["refresh_token"]
        self._who, self._clock = who, time_machine.travel(now() + later)

    def __enter__(self) -> Person:
        self._clock.__enter__()
        renewed = self._who.client.post("/api/v1/auth/refresh", json={"refresh_token": self._refresh})
        client = self._who.client.application.test_client()
        return Person(client, self._who.id, self._who.email, renewed.get_json()["data"]["access_token"])

    def __exit__(self, *_: object) -> None:
        self._clock.__exit__(None, None, None)


def test_everything_is_in_the_ledger_and_no_value_is(app: Flask, ann: Person, token: Token) -> None:
    ci = token(ann, ["read"])
    value = ann.call("PATCH", f"/dev/tokens/{ci.id}/rotate")["token"]
    ann.call("PATCH", f"/dev/tokens/{ci.id}/scopes", scopes=["write"])
    ann.call("DELETE", f"/dev/tokens/{ci.id}")
    with app.app_context():
        rows = db.session.scalars(select(Entry).where(Entry.object_id == ci.id).order_by(Entry.number)).all()
        assert [row.action for row in rows] == [
            "token.created", "token.rotated", "token.scopes_changed", "token.revoked",
        ]  # fmt: skip
        assert rows[0].changes["value"] == rows[1].changes["value"] == "changed"
        assert rows[2].changes == {"scopes": [["read"], ["write"]]}
        assert not any(ci.token in str(row.changes) or value in str(row.changes) for row in rows)


def test_what_a_token_does_is_written_down_with_the_token(app: Flask, ann: Person, token: Token) -> None:
    ci = token(ann, ["read", "write"])
    project = ci.call("POST", "/projects", 201, repository_url="https://example.com/a.git")
    with app.app_context():
        entry = db.session.scalar(select(Entry).where(Entry.object_id == project["id"]))
        assert entry is not None and entry.token_id == ci.id and entry.actor_id == ann.id


def rotated(ann: Person, old: Person, **body: Any) -> Person:
    made = ann.call("PATCH", f"/dev/tokens/{old.id}/rotate", **body)
    assert set(made) == LISTED | {"token"} and made["id"] == old.id and made["token"] != old.token
    return Person(old.client, old.id, old.email, made["token"])


def test_rotation_replaces_the_value_at_once(ann: Person, token: Token) -> None:
    old = token(ann, ["read"])
    new = rotated(ann, old)
    assert refused(old) == "UNAUTHORIZED"
    assert new.call("GET", "/auth/verify")["scopes"] == ["read"]  # a request that was on its way is no theft


def test_with_a_grace_both_values_work_and_then_the_old_one_ends_everything(
    app: Flask, ann: Person, token: Token
) -> None:
    old = token(ann, ["read"])
    new = rotated(ann, old, grace_hours=1)
    with time_machine.travel(now() + timedelta(minutes=59)):
        assert old.call("GET", "/auth/verify")["valid"] and new.call("GET", "/auth/verify")["valid"]
    with time_machine.travel(now() + timedelta(minutes=62)):
        assert refused(old) == "UNAUTHORIZED"
        assert refused(new) == "UNAUTHORIZED"
        refused(old)
    with app.app_context():
        row = db.session.get(ApiToken, old.id)
        assert row is not None and row.revoked_at and "old value" in row.revoked_why
        letters = db.session.scalars(select(Letter).where(Letter.template == "token_reused")).all()
        assert [letter.to for letter in letters] == [ann.email]
        entries = db.session.scalars(select(Entry).where(Entry.action == "token.reused")).all()
        assert [entry.object_id for entry in entries] == [old.id]


def test_a_forged_old_value_ends_nothing(ann: Person, token: Token) -> None:
    old = token(ann)
    new = rotated(ann, old)
    with time_machine.travel(now() + timedelta(minutes=5)):
        forged = old.token[:-1] + ("a" if old.token[-1] != "a" else "b")
        for value in (forged, new.token[:-1], new.token + "a", "dvf_" + "0" * 38, "dvf_"):
            assert refused(Person(new.client, new.id, new.email, value)) == "UNAUTHORIZED"
        assert new.call("GET", "/auth/verify")["valid"]


def test_a_second_rotation_without_grace_ends_every_older_value(app: Flask, ann: Person, token: Token) -> None:
    first = token(ann)
    second = rotated(ann, first, grace_hours=24)
    third = rotated(ann, second)
    assert refused(first) and refused(second)
    assert third.call("GET", "/auth/verify")["valid"]
    ann.call("PATCH", f"/dev/tokens/{first.id}/rotate", 422, grace_hours=25)
    ann.call("PATCH", f"/dev/tokens/{first.id}/rotate", 422, grace_hours=-1)
    with app.app_context():
        current = select(TokenValue).where(TokenValue.token_id == first.id, TokenValue.until.is_(None))
        assert [row.digest for row in db.session.scalars(current)] == [digest(third.token)]


def test_an_expired_token_comes_back_only_with_a_new_end(ann: Person, token: Token) -> None:
    old = token(ann, expires_in_days=1)
    login = {"email": ann.email, "password": PASSWORD}
    with time_machine.travel(now() + timedelta(days=2)):
        answer = ann.client.post("/api/v1/auth/login", json=login).get_json()["data"]
        later = Person(ann.client.application.test_client(), ann.id, ann.email, answer["access_token"])
        assert later.call("PATCH", f"/dev/tokens/{old.id}/rotate", 409)["code"] == "INVALID_STATE"
        new = rotated(later, old, expires_in_days=30)
        assert new.call("GET", "/auth/verify")["valid"]


def test_a_token_is_made_with_the_password(app: Flask, ann: Person) -> None:
    client = app.test_client()
    body = {"email": ann.email, "password": PASSWORD}
    data = client.post("/api/v1/auth/token", json=body).get_json()["data"]
    assert set(data) == {
        "token", "expires_at", "permissions", "id", "name", "token_prefix", "scopes", "user", "created_at",
    }  # fmt: skip
    assert data["permissions"] == data["scopes"] == ["read", "write", "deploy"]
    assert data["user"] == {"id": ann.id, "email": ann.email} and data["name"].startswith("Token of ")
    who = Person(client, data["id"], ann.email, data["token"])
    assert who.call("GET", "/projects") == []
    less = {**body, "token_name": "ci", "permissions": ["read"], "expiresInDays": 3}
    fewer = client.post("/api/v1/auth/token", json=less).get_json()["data"]
    assert fewer["name"] == "ci" and fewer["scopes"] == ["read"]
    assert fewer["expires_at"][:10] == f"{now() + timedelta(days=3):%Y-%m-%d}"


def test_a_wrong_password_makes_no_token_and_says_no_more_than_an_unknown_address(app: Flask, ann: Person) -> None:
    client = app.test_client()
    answers = [
        client.post("/api/v1/auth/token", json={"email": email, "password": "wrong"})
        for email in (ann.email, "nobody@example.com")
    ]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].get_json()["error"] == answers[1].get_json()["error"]
    assert answers[0].get_json()["error"]["code"] == "AUTHENTICATION_FAILED"
    assert client.post("/api/v1/auth/token", json={"email": ann.email}).status_code == 422
    assert ann.call("GET", "/dev/tokens") == []


def test_verify_says_whose_token_it_is(ann: Person, token: Token) -> None:
    for scopes in (["read"], ["deploy"], ["projects:read"]):
        said = token(ann, scopes).call("GET", "/auth/verify")
        assert said["valid"] is True and said["token_type"] == "api_token" and said["scopes"] == scopes
        assert said["user"] == {
            "id": ann.id, "email": ann.email, "name": "Ann", "full_name": "Ann", "role": "master_admin",
        }  # fmt: skip
    said = ann.call("GET", "/auth/verify")
    assert said["token_type"] == "jwt" and "admin" in said["scopes"]
    left = ann.call("GET", "/auth/verify")["expires_at"]
    assert f"{now() + timedelta(minutes=58):%Y-%m-%dT%H:%M}" < left < f"{now() + timedelta(minutes=61):%Y-%m-%dT%H:%M}"


def test_a_token_has_no_session_but_an_end(ann: Person, token: Token) -> None:
    ending, lasting = token(ann, ["read"], expires_in_days=9), token(ann, ["read"], expires_in_days=0)
    for ci in (ending, lasting):
        here = ci.call("GET", "/auth/session")
        assert here["authenticated"] is True and here["session"] is None
        assert here["expires_at"] == ci.call("GET", "/auth/verify")["expires_at"]
        assert (here["expires_at"] is None) is (ci is lasting)


def test_a_token_of_any_scope_can_end_itself(ann: Person, token: Token) -> None:
    for scopes in (["deploy"], ["projects:read"], ["admin"]):
        ci = token(ann, scopes)
        ci.call("DELETE", "/auth/token")
        assert refused(ci) == "UNAUTHORIZED"
    ann.call("DELETE", "/auth/token")
    assert refused(ann) == "UNAUTHORIZED"


def test_a_token_is_dead_with_its_owner(app: Flask, ann: Person, person: Callable[..., Person], token: Token) -> None:
    bob = person("Bob")
    ci = token(bob)
    _set_active(app, bob, False)
    assert refused(ci) == "UNAUTHORIZED"
    _set_active(app, bob, True)
    assert ci.call("GET", "/auth/verify")["valid"]


def _set_active(app: Flask, who: Person, on: bool) -> None:
    with app.app_context():
        db.session.execute(text("UPDATE users SET is_active = :on WHERE id = :id"), {"on": on, "id": who.id})
        db.session.commit()


def test_a_token_works_only_from_the_addresses_it_is_for(app: Flask, ann: Person) -> None:
    made = ann.call("POST", "/dev/tokens", 201, name="ci", allowed_ips=["203.0.113.0/24", "2001:db8::1"])
    headers = {"Authorization": f"Bearer {made['token']}"}

    def from_(ip: str) -> int:
        return app.test_client().get(
            "/api/v1/auth/verify", headers=headers, environ_base={"REMOTE_ADDR": ip}
        ).status_code  # fmt: skip

    assert from_("203.0.113.9") == from_("2001:db8::1") == 200
    assert from_("203.0.114.9") == from_("127.0.0.1") == from_("::1") == 401


def test_a_token_with_the_same_idempotency_key_is_made_once(app: Flask, ann: Person) -> None:
    headers = {"Authorization": f"Bearer {ann.token}", "Idempotency-Key": "0123456789"}
    answers = [
        app.test_client().post("/api/v1/dev/tokens", json={"name": "ci"}, headers=headers).get_json()["data"]
        for _ in range(2)
    ]
    assert answers[0] == answers[1] and len(ann.call("GET", "/dev/tokens")) == 1


def test_the_list_has_pages(ann: Person) -> None:
    for number in range(5):
        ann.call("POST", "/dev/tokens", 201, name=f"ci {number}")
    assert [row["name"] for row in ann.call("GET", "/dev/tokens?limit=2&offset=2")] == ["ci 2", "ci 1"]
