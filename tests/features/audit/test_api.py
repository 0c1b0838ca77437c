"""Reading the ledger: who sees what, filters, cursors, export, and attempts that were refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask

from devflow.core.access import SYSTEM, Actor
from devflow.core.db import db, transaction
from devflow.features.audit import service as audit
from devflow.features.audit.rules.repeats import ADDRESSES, MOST, WINDOW, Repeats
from devflow.features.audit.schemas import ActivityQuery, AuditQuery
from devflow.features.audit.service import reading, sealed
from tests.conftest import PASSWORD, Join, Person

LOGS = "/security/audit-logs"
FIELDS = {
    "id", "number", "user_id", "user_name", "user_email", "team_id", "token_id", "action", "result", "resource_type",
    "resource_id", "resource_name", "description", "ip_address", "user_agent", "request_id", "status_code", "details",
    "created_at",
}  # fmt: skip


def _answer(who: Person, path: str) -> Any:
    return who.client.get(f"/api/v1{path}", headers={"Authorization": f"Bearer {who.token}"}).get_json()


@pytest.fixture
def shop(ann: Person) -> dict[str, Any]:
    made = ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git", name="Shop")
    ann.call("PATCH", f"/projects/{made['id']}", branch="develop")
    return made


def test_an_entry_has_the_fields_of_the_contract(ann: Person, shop: dict[str, Any]) -> None:
    entry = ann.call("GET", LOGS)[0]
    assert set(entry) == FIELDS
    assert entry["user_id"] == ann.id and entry["user_email"] == ann.email and entry["status_code"] == 200
    assert (entry["resource_type"], entry["resource_id"]) == ("project", shop["id"])
    assert entry["details"] == {"branch": ["main", "develop"]} and entry["request_id"] and entry["ip_address"]
    assert entry["description"] == "changed branch of the project Shop"
    assert ann.call("GET", "/audit") == ann.call("GET", LOGS), "the old address answers alike"


def test_each_filter_leaves_what_it_names(ann: Person, shop: dict[str, Any], person: Callable[..., Person]) -> None:
    bob = person("Bob")
    bob.call("GET", "/users", 403)

    def acts(asked: str) -> list[str]:
        return [entry["action"] for entry in ann.call("GET", f"{LOGS}?limit=100&{asked}")]

    assert acts("action=project.updated") == ["project.updated"]
    assert acts("action=project.") == acts("action=project.*") == ["project.updated", "project.created"]
    assert acts("action=project") == []
    assert acts("resource_type=project") == acts(f"resource_id={shop['id']}") == acts("action=project.")
    assert acts("result=denied") == ["users:read"]
    assert acts(f"user_id={bob.id}") == ["users:read", "account.created"]
    assert acts("userId=system") == acts("user_id=system")
    assert acts("search=SHOP") == acts("action=project.")
    assert acts("search=100%25") == []
    assert acts("team_id=" + shop["team_id"]) == acts("action=project.")
    ann.call("GET", f"{LOGS}?result=perhaps", 422)
    ann.call("GET", f"{LOGS}?from_date=soon", 422)
    ann.call("GET", f"{LOGS}?cursor=%27;drop", 422)


def test_a_day_means_all_of_it_in_every_name_of_the_pair(app: Flask, ann: Person) -> None:
    day = datetime(2026, 3, 5, 23, 59, 59, 500_000, tzinfo=UTC)
    with time_machine.travel(datetime.now(UTC) + timedelta(days=400), tick=True), app.app_context():
        late = datetime.now(UTC)
        with transaction():
            audit.noted(SYSTEM, "thing.late", "thing", "1")
        mine = {"action": "thing."}

        def found(**asked: str) -> int:
            return len(reading.search(SYSTEM, AuditQuery.model_validate({**mine, **asked})).items)

        for start, end in (
            ("from_date", "to_date"), ("start_date", "end_date"), ("since", "until"), ("fromDate", "toDate"),
            ("startDate", "endDate"),
        ):  # fmt: skip
            assert found(**{start: f"{late:%Y-%m-%d}", end: f"{late:%Y-%m-%d}"}) == 1
            assert found(**{start: f"{late + timedelta(days=1):%Y-%m-%d}"}) == 0
            assert found(**{end: f"{late - timedelta(days=1):%Y-%m-%d}"}) == 0
    assert AuditQuery.model_validate({"to_date": "2026-03-05"}).to_date > day  # type: ignore[operator]


def test_a_team_admin_sees_the_team_and_a_person_sees_themselves(
    app: Flask, ann: Person, shop: dict[str, Any], person: Callable[..., Person], join: Join
) -> None:
    bob, eve, vic = person("Bob"), person("Eve"), person("Vic")
    join(bob, shop["team_id"], "admin")
    join(vic, shop["team_id"], "viewer")
    assert {e["team_id"] for e in bob.call("GET", f"{LOGS}?limit=100")} == {shop["team_id"]}
    assert bob.call("GET", f"{LOGS}?user_id={eve.id}") == []
    assert vic.call("GET", f"{LOGS}?team_id={shop['team_id']}") == []
    assert eve.call("GET", f"{LOGS}?resource_id={shop['id']}") == []
    own = [entry["action"] for entry in eve.call("GET", f"{LOGS}/{eve.id}")]
    assert own == ["account.created"]
    assert [e["action"] for e in bob.call("GET", f"{LOGS}/{ann.id}")] == ["project.updated", "project.created"]
    assert "account.created" in [e["action"] for e in ann.call("GET", f"{LOGS}/{eve.id}")]
    unknown = eve.call("GET", f"{LOGS}/none", 404)
    foreign = eve.call("GET", f"{LOGS}/{ann.id}", 404)
    assert unknown == foreign, "whether somebody exists is told to nobody who may not know"
    ann.call("GET", f"{LOGS}/none", 404)
    vic.call("GET", f"{LOGS}/{ann.id}", 404)


def test_a_limited_token_reads_no_more_than_its_limits(app: Flask, ann: Person, shop: dict[str, Any]) -> None:
    with app.app_context():
        known = {"id": ann.id, "name": "Ann", "teams": {}}
        everywhere = frozenset({reading.Permission.AUDIT_READ, reading.Permission.ACCOUNT_READ})
        one_team = Actor(**known, platform=everywhere, only_teams=frozenset({shop["team_id"]}))
        assert {e.team_id for e in reading.search(one_team, AuditQuery()).items} == {shop["team_id"]}
        other = Actor(**known, platform=everywhere, only_teams=frozenset({"x"}))
        assert reading.search(other, AuditQuery()).items == []
        one_project = Actor(**known, platform=everywhere, only_projects=frozenset({shop["id"]}))
        with pytest.raises(reading.Forbidden):
            reading.search(one_project, AuditQuery())
        readable = Actor(**known, platform=everywhere, cap=frozenset({reading.Permission.ACCOUNT_READ}))
        assert reading.of_user(readable, ann.id, AuditQuery()).items
        with pytest.raises(reading.Forbidden):
            reading.search(readable, AuditQuery())


def test_cursors_lead_through_everything_once_and_back(app: Flask, ann: Person) -> None:
    with app.app_context():
        for at in range(23):
            with transaction():
                audit.noted(SYSTEM, "thing.done", "thing", str(at))
    path, seen, cursors = f"{LOGS}?action=thing.done&limit=5", [], []
    answer = _answer(ann, path)
    assert answer["meta"]["pagination"]["total"] == 23 and answer["meta"]["pagination"]["previous_cursor"] is None
    while True:
        seen += [entry["resource_id"] for entry in answer["data"]]
        cursors.append(answer["meta"]["pagination"])
        if cursors[-1]["next_cursor"] is None:
            break
        with app.app_context(), transaction():
            audit.noted(SYSTEM, "thing.done", "thing", "new")  # what comes meanwhile shifts nothing
        answer = _answer(ann, f"{path}&cursor={cursors[-1]['next_cursor']}")
    assert seen == [str(at) for at in range(22, -1, -1)] and not cursors[-1]["has_more"]
    back = _answer(ann, f"{path}&cursor={cursors[-1]['previous_cursor']}")
    assert [entry["resource_id"] for entry in back["data"]] == ["7", "6", "5", "4", "3"]
    assert back["meta"]["pagination"]["next_cursor"] and back["meta"]["pagination"]["previous_cursor"]


def test_a_search_that_stops_looking_says_where_to_go_on(
    app: Flask, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SEARCHED", 10)
    with app.app_context():
        for at in range(25):
            with transaction():
                audit.noted(SYSTEM, "thing.done", "thing", str(at), "needle" if at in (1, 24) else "hay")
    path, found, pages = f"{LOGS}?action=thing.done&search=needle", [], 0
    cursor: str | None = ""
    while cursor is not None:
        answer = _answer(ann, path + (f"&cursor={cursor}" if cursor else ""))
        found += [entry["resource_id"] for entry in answer["data"]]
        cursor, pages = answer["meta"]["pagination"]["next_cursor"], pages + 1
    assert found == ["24", "1"] and pages == 3


def test_the_export_streams_what_the_filters_leave_and_is_an_entry_itself(
    app: Flask, ann: Person, shop: dict[str, Any], person: Callable[..., Person]
) -> None:
    headers = {"Authorization": f"Bearer {ann.token}"}
    answer = ann.client.get(f"/api/v1{LOGS}/export?action=project.&from_date=2020-01-01", headers=headers)
    assert answer.status_code == 200 and answer.mimetype == "application/x-ndjson" and answer.is_streamed
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="audit-2020-01-01-to-')
    lines = answer.text.splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["project.created", "project.updated"]
    with app.app_context():
        assert sealed.verify_lines(lines).fault is None
    entry = ann.call("GET", LOGS)[0]
    assert entry["action"] == "audit.exported" and entry["details"]["action"] == "project."
    bob = person("Bob")
    theirs = bob.client.get(f"/api/v1{LOGS}/export", headers={"Authorization": f"Bearer {bob.token}"})
    assert [json.loads(line)["action"] for line in theirs.text.splitlines()] == [], "nothing of anybody else's team"
    bad = ann.client.get(f"/api/v1{LOGS}/export?from_date=x", headers=headers)
    assert bad.status_code == 422 and app.test_client().get(f"/api/v1{LOGS}/export").status_code == 401


def test_a_refused_attempt_is_one_entry_however_often_it_comes(ann: Person, person: Callable[..., Person]) -> None:
    bob = person("Bob")
    for _ in range(20):
        bob.call("GET", "/users", 403)
    denied = ann.call("GET", f"{LOGS}?result=denied")
    assert [(e["action"], e["user_id"], e["status_code"]) for e in denied] == [("users:read", bob.id, 403)]
    assert denied[0]["description"] == "was not allowed to read users"


def test_varying_the_address_does_not_flood_either() -> None:
    repeats = Repeats()
    written = [repeats.admit("eve", "users:read", f"GET /{at}", 100.0 + at / 10) for at in range(300)]
    assert written.count(0) == ADDRESSES
    assert repeats.admit("eve", "users:manage", "GET /1", 100.0) == 0, "another permission is another attempt"
    assert repeats.admit("bob", "users:read", "GET /1", 100.0) == 0
    assert repeats.admit("eve", "users:read", "GET /1", 100.0 + WINDOW) == 300 - ADDRESSES, (
        "and what was left out shows"
    )
    for at in range(MOST * 2):
        repeats.admit(f"ip-{at}", "x", "y", 200.0)
    assert len(repeats._began) <= MOST


def test_a_failed_sign_in_reads_like_one(ann: Person) -> None:
    ann.client.post("/api/v1/auth/login", json={"email": ann.email, "password": PASSWORD + "x"})
    entry = ann.call("GET", f"{LOGS}?action=account.")[0]
    assert (entry["action"], entry["result"], entry["user_id"]) == ("account.sign_in_failed", "denied", None)
    assert entry["description"] == f"failed to sign in as {ann.email}"
    assert PASSWORD not in str(entry)


def test_the_activity_of_a_team_has_no_refused_attempts_and_no_addresses(
    app: Flask, ann: Person, shop: dict[str, Any], person: Callable[..., Person]
) -> None:
    bob = person("Bob")
    with app.app_context():
        page = audit.activity(SYSTEM, shop["team_id"], ActivityQuery())
        assert [row.description for row in page.items] == [
            "changed branch of the project Shop",
            "created the project Shop",
        ]
        assert not {"ip", "ip_address", "details"} & set(page.items[0].model_dump())
        stranger = Actor(id=bob.id, name="Bob")
        with pytest.raises(reading.NotFound):
            audit.activity(stranger, shop["team_id"], ActivityQuery())
        db.session.rollback()
