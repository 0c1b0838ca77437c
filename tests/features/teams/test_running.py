"""Teams themselves: make, rename, delete with everything, and what the pages of a chosen team show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from devflow.core.clock import now
from devflow.core.db import db
from devflow.core.jobs import JobRow, Jobs
from devflow.features.accounts.models import LoginSession
from devflow.features.projects.models import Project
from devflow.features.roles.models import Assignment, Role
from devflow.features.teams.models import Team
from devflow.web.ports import port
from tests.conftest import Join, Person

Make = Callable[..., Person]


def test_a_team_gets_a_short_name_that_nobody_else_has(ann: Person) -> None:
    first, second = (ann.call("POST", "/teams", 201, name="Äpfel & Co") for _ in range(2))
    assert (first["slug"], second["slug"]) == ("apfel-co", "apfel-co-2")
    assert ann.call("POST", "/teams", 409, name="X", slug="apfel-co")["code"] == "CONFLICT"
    for body in ({}, {"name": ""}, {"name": "a\nb"}, {"name": "x" * 81}, {"name": "X", "slug": "Not A Slug"}):
        assert ann.call("POST", "/teams", 422, **body)["code"] == "VALIDATION_ERROR"
    changed = ann.call("PATCH", f"/teams/{second['id']}", name="Birnen", slug="birnen")
    assert (changed["name"], changed["slug"]) == ("Birnen", "birnen")
    assert ann.call("PATCH", f"/teams/{second['id']}", 409, slug="apfel-co")["code"] == "CONFLICT"


def test_only_owners_delete_and_only_by_name(ann: Person, person: Make, team: str, join: Join) -> None:
    bob = person("Bob")
    join(bob, team, "admin")
    bob.call("PATCH", f"/teams/{team}", name="Shop")
    bob.call("DELETE", f"/teams/{team}", 403, confirm="Shop")
    assert ann.call("DELETE", f"/teams/{team}", 422, confirm="Storefront")["code"] == "VALIDATION_ERROR"
    ann.call("DELETE", f"/teams/{team}", confirm="Shop")


def test_deleting_asks_who_one_is_after_a_while(app: Flask, ann: Person, team: str) -> None:
    with app.app_context():
        db.session.execute(update(LoginSession).values(proved_at=now().replace(year=2020)))
        db.session.commit()
    assert ann.call("DELETE", f"/teams/{team}", 403, confirm="Storefront")["code"] == "REAUTHENTICATION_REQUIRED"


def test_a_deleted_team_is_gone_at_once_and_its_projects_follow(
    app: Flask, ann: Person, person: Make, team: str, join: Join
) -> None:
    bob = person("Bob")
    join(bob, team, "member")
    projects = [
        ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git", name=name, team_id=team)
        for name in ("Shop", "Blog")
    ]
    bob.call("POST", f"/projects/{projects[0]['id']}/deploy", 201)
    ann.call("DELETE", f"/teams/{team}", confirm="storefront")
    bob.call("GET", f"/projects/{projects[0]['id']}", 404)
    for who in (ann, bob):
        assert [row["is_personal"] for row in who.call("GET", "/teams")] == [True]
        who.call("GET", f"/team/members?team_id={team}", 404)
        who.call("POST", "/projects", 404, repository_url="https://example.com/shop.git", team_id=team)
    assert ann.call("POST", "/teams", 201, name="Storefront")["slug"] == "storefront"  # the name is free again
    with app.app_context():
        db.session.execute(update(JobRow).where(JobRow.kind != "overview.clear_team").values(state="cancelled"))
        db.session.commit()
        assert db.session.scalar(select(JobRow.subject).where(JobRow.state == "queued")) == team
        row = db.session.scalars(select(JobRow).where(JobRow.state == "queued")).one()
        port(Jobs).run(row.id, row.attempt)
        db.session.expire_all()
        assert db.session.get(Team, team) is None
        assert list(db.session.scalars(select(Project))) == []
        down = set(db.session.scalars(select(JobRow.subject).where(JobRow.kind == "deployments.take_down")))
    assert down == {project["id"] for project in projects}


def _browser_at(client: FlaskClient, team: str) -> FlaskClient:
    page = client.get("/dashboard").text
    token = page.split('name="csrf_token"', 1)[1].split('value="', 1)[1].split('"', 1)[0]
    assert client.post("/team/switch", data={"csrf_token": token, "team_id": team}).status_code == 303
    return client


def test_pages_show_the_chosen_team_only(
    ann: Person, person: Make, team: str, join: Join, browser: Callable[[Person], FlaskClient]
) -> None:
    for name, owner in (("Shop", team), ("Diary", None)):
        body: dict[str, Any] = {"repository_url": "https://example.com/x.git", "name": name, "team_id": owner}
        made = ann.call("POST", "/projects", 201, **body)
        ann.call("POST", f"/projects/{made['id']}/deploy", 201)
    client = browser(ann)
    for address in ("/projects", "/deployments", "/dashboard"):
        assert "Diary" in client.get(address).text and "Shop" not in client.get(address).text, address
    _browser_at(client, team)
    for address in ("/projects", "/deployments", "/dashboard"):
        assert "Shop" in client.get(address).text and "Diary" not in client.get(address).text, address
    bob = person("Bob")
    join(bob, team, "viewer")
    theirs = _browser_at(browser(bob), team)
    assert theirs.get("/deploy").status_code == 403 and "New project" not in theirs.get("/projects").text
    strangers = _browser_at(browser(person("Eve")), team)  # not theirs: the switch does nothing
    assert "Storefront" not in strangers.get("/dashboard").text


def test_what_is_shared_from_a_foreign_team_is_not_lost(
    app: Flask, ann: Person, person: Make, team: str, browser: Callable[[Person], FlaskClient]
) -> None:
    for name in ("Shop", "Diary"):
        ann.call("POST", "/projects", 201, repository_url="https://example.com/x.git", name=name, team_id=team)
    bob = person("Bob")
    with app.app_context():
        shop = db.session.scalars(select(Project).where(Project.slug == "shop")).one()
        role = Role(name="reader", permissions=["projects:read", "deployments:read"])
        db.session.add(role)
        db.session.flush()
        place = {"scope": "project", "place": shop.id, "team_id": team, "project_id": shop.id}
        db.session.add(Assignment(user_id=bob.id, role_id=role.id, **place))
        db.session.commit()
    page = browser(bob).get("/projects").text
    assert "Shared with you" in page and "Shop" in page and "Diary" not in page
    ann.call("DELETE", f"/teams/{team}", confirm="Storefront")
    bob.call("GET", "/projects/shop", 404)  # at once, before the projects are cleared away


def test_a_team_is_made_and_deleted_by_its_pages(ann: Person, browser: Callable[[Person], FlaskClient]) -> None:
    client = browser(ann)
    page = client.get("/teams/new").text
    token = page.split('name="csrf_token"', 1)[1].split('value="', 1)[1].split('"', 1)[0]
    assert client.post("/teams/new", data={"csrf_token": token}).status_code == 422
    assert client.post("/teams/new", data={"csrf_token": token, "name": "Storefront"}).location == "/team"
    taken = client.post("/teams/new", data={"csrf_token": token, "name": "Other", "slug": "storefront"})
    assert taken.status_code == 422 and "storefront is taken" in taken.text
    assert 'value="Storefront"' in client.get("/team/settings").text
    saved = client.post("/team/settings", data={"csrf_token": token, "name": "Shop front", "slug": "shop-front"})
    assert saved.status_code == 303
    client.post("/team/delete", data={"csrf_token": token, "confirm": "wrong"})
    assert len(ann.call("GET", "/teams")) == 2
    assert "Write the name of the team" in client.get("/team/settings").text
    assert client.post("/team/delete", data={"csrf_token": token, "confirm": "Shop front"}).location == "/dashboard"
    assert len(ann.call("GET", "/teams")) == 1
    assert client.get("/dashboard").status_code == 200
