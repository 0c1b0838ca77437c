"""The audit as pages: filters in the address, the diff, the pager, and the check of the chain by the worker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from devflow.core.access import SYSTEM
from devflow.core.clock import now
from devflow.core.db import db, transaction
from devflow.core.jobs import JobRow, Jobs
from devflow.core.settings import Settings
from devflow.features.audit import service as audit
from devflow.features.audit import tasks
from devflow.features.audit.rules.telling import difference_lines, sentence
from devflow.features.audit.service import archiving, chain, keeping
from devflow.web.ports import port
from tests.conftest import Join, Person, csrf

Browser = Callable[[Person], FlaskClient]


def test_the_administrator_sees_everything_and_filters_by_the_address(
    app: Flask, ann: Person, person: Callable[..., Person], browser: Browser
) -> None:
    bob = person("Bob")
    bob.call("GET", "/users", 403)
    ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git", name="<b>Shop</b>")
    client = browser(ann)
    page = client.get("/admin/audit").text
    assert "created the project &lt;b&gt;Shop&lt;/b&gt;" in page and "<b>Shop" not in page
    assert "was not allowed to read users" in page and "GET /api/v1/users" in page
    theirs = client.get(f"/admin/audit?user_id={bob.id}&result=denied").text
    assert "was not allowed to read users" in theirs and "created the project" not in theirs
    assert f"user_id={bob.id}" in theirs.split('href="/api/v1/security/audit-logs/export', 1)[1].split('"', 1)[0]
    assert "No entries match" in client.get("/admin/audit?search=nothing-like-it").text
    rows = client.get("/admin/audit?block=rows", headers={"HX-Request": "true"}).text
    assert 'id="rows"' in rows and "<html" not in rows


def test_others_see_their_team_or_only_themselves(
    app: Flask, ann: Person, person: Callable[..., Person], browser: Browser, join: Join
) -> None:
    bob, vic = person("Bob"), person("Vic")
    team = ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git", name="Shop")["team_id"]
    join(bob, team, "admin")
    client = browser(bob)
    assert client.get("/admin/audit").status_code == 403
    assert "created the project Shop" in client.get(f"/audit?team_id={team}").text
    stranger = browser(vic)
    assert "Shop" not in stranger.get(f"/audit?team_id={team}").text
    assert "joined" in stranger.get("/audit/mine").text
    assert stranger.post("/admin/audit/verify", data={"csrf_token": csrf(stranger)}).status_code == 403


def test_the_pager_goes_on_where_the_page_ended(app: Flask, ann: Person, browser: Browser) -> None:
    with app.app_context(), transaction():
        for at in range(120):
            audit.noted(SYSTEM, "thing.done", "thing", str(at), f"number {at} of many")
    client = browser(ann)
    first = client.get("/admin/audit?action=thing.").text
    assert "number 119 of many" in first and "number 70 of many" in first and "number 69 of many" not in first
    older = first.split("cursor=", 1)[1].split('"', 1)[0]
    second = client.get(f"/admin/audit?action=thing.&cursor={older}").text
    assert "number 69 of many" in second and "number 20 of many" in second and "number 70 of many" not in second


@pytest.mark.parametrize("broken", [False, True])
def test_the_button_has_the_worker_check_the_chain(app: Flask, ann: Person, browser: Browser, broken: bool) -> None:
    client = browser(ann)
    assert "Not checked yet" in client.get("/admin/audit").text
    if broken:
        with app.app_context(), transaction():
            db.session.execute(db.text("drop trigger audit_logs_no_update"))
            db.session.execute(db.text("update audit_logs set ip = 'x' where number = 2"))
    for _ in range(2):  # the second press finds the first one waiting
        assert client.post("/admin/audit/verify", data={"csrf_token": csrf(client)}).status_code == 303
    assert "Checking" in client.get("/admin/audit").text
    with app.app_context():
        waiting = db.session.scalars(db.select(JobRow).where(JobRow.kind == "audit.verify")).all()
        assert len(waiting) == 1
        job_id = waiting[0].id
        port(Jobs).run(job_id, 1)
        assert db.session.get(JobRow, job_id).state == "done"  # type: ignore[union-attr]
        db.session.remove()
    page = client.get("/admin/audit").text
    assert ("Broken" in page) is broken and ("Whole" in page) is not broken
    assert ("Entry 2 (" in page and "is not as it was written" in page) is broken
    entry = ann.call("GET", "/security/audit-logs?action=audit.verified")[0]
    assert entry["user_name"] == "DevFlow" and entry["details"]["asked_by"] == "Ann"
    assert entry["description"].endswith("broken at entry 2" if broken else "whole")
    with app.app_context():
        assert (chain.verify().fault is not None) is broken


def _checked(app: Flask, *statements: str) -> int:
    """What the worker's check finds after these statements; returns up to where."""
    with app.app_context():
        with transaction():
            for statement in statements:
                db.session.execute(db.text(statement))
        port(Jobs).submit(tasks.VERIFY, "audit")
        mine = (JobRow.state == "queued", JobRow.kind == tasks.VERIFY)
        waiting = db.session.scalars(db.select(JobRow.id).where(*mine)).all()
        db.session.rollback()
        port(Jobs).run(waiting[0], 1)
        return keeping.latest().number  # type: ignore[union-attr]


def test_a_check_of_nothing_does_not_claim_to_have_read_something(
    app: Flask, person: Callable[..., Person], browser: Browser
) -> None:
    assert _checked(app) == 0
    page = browser(person("Ann")).get("/admin/audit").text
    assert "There were no entries to check" in page and "Verified up to" not in page


def test_the_page_says_how_far_and_when_and_what_to_do(
    app: Flask, person: Callable[..., Person], browser: Browser
) -> None:
    with time_machine.travel(now() - timedelta(days=200)):
        ann = person("Ann")
    client = browser(ann)
    page = client.get("/admin/audit").text
    assert "Not checked yet" in page and "sealed" not in page
    with app.app_context():
        folder = tasks.folder_of(port(Settings))
        assert archiving.archive(folder, 50) > 0
    number = _checked(app)
    page = client.get("/admin/audit").text
    assert f"Verified up to entry {number}" in page and "Whole" in page and "in 1 sealed file " in page
    folder.rename(folder.with_name("moved"))
    _checked(app)
    assert "1 is not there any more" in client.get("/admin/audit").text
    _checked(app, "drop trigger audit_logs_no_update", f"update audit_logs set ip = 'x' where number = {number}")
    page = client.get("/admin/audit").text
    assert f"Broken at entry {number}" in page and "Keep a copy of it as it is" in page and 'role="alert"' in page


@pytest.mark.parametrize(
    ("action", "name", "changes", "told"),
    [
        ("member.role_changed", "Bob", {"role": ["member", "admin"]}, "changed the role of Bob to admin"),
        ("member.role_changed", "Bob", {}, "changed the role of Bob"),
        (
            "project.updated",
            "Shop",
            {"branch": ["a", "b"], "port": [1, 2]},
            "changed branch and port of the project Shop",
        ),
        ("project.variables_changed", "Shop", {"environment.MY_KEY": "changed"}, "changed MY_KEY of the project Shop"),
        ("function.created", "{name.__class__}", {}, "created the function {name.__class__}"),
        ("tokens:manage", "", {}, "manage tokens"),
    ],
)
def test_an_act_reads_as_a_sentence(action: str, name: str, changes: dict[str, object], told: str) -> None:
    assert sentence(action, name, changes) in (told, told.replace("the role of Bob", "the role of the member Bob"))


def test_a_difference_shows_both_sides_and_no_secret() -> None:
    lines = difference_lines({"port": [None, 80], "on": [True, False], "tags": [["a"], []], "token": "changed", "n": 3})
    assert lines == [
        ("+", "port: 80"),
        ("-", "on: yes"),
        ("+", "on: no"),
        ("-", "tags: a"),
        ("~", "token changed"),
        ("", "n: 3"),
    ]


def test_the_dashboard_tells_no_acts_of_a_team_to_who_may_not_see_them(
    ann: Person, person: Callable[..., Person], browser: Browser
) -> None:
    bob = person("Bob")
    team = ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git", name="Shop")["team_id"]
    watcher = ann.call("POST", "/security/roles", 201, name="Watcher", permissions=["projects:read"])["id"]
    ann.call("POST", f"/security/users/{bob.id}/roles/{watcher}", team_id=team)
    for who, told in ((bob, False), (ann, True)):
        client = browser(who)
        client.post("/team/switch", data={"team_id": team, "csrf_token": csrf(client)})
        assert ("created the project Shop" in client.get("/dashboard").text) is told
        assert client.get("/team/activity").status_code == (200 if told else 403)
