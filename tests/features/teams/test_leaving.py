"""The end of an account: what becomes of teams is asked, everything of the person dies, the ledger remembers."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from devflow.core.clock import now
from devflow.core.db import db
from devflow.features.accounts.models import LoginSession, User
from devflow.features.accounts.service.guarding import PER_PLACE
from devflow.features.audit.models import Entry
from devflow.features.teams.models import Member, Team
from tests.conftest import PASSWORD, Join, Person

Make = Callable[..., Person]


def test_an_account_goes_with_all_that_is_only_its_own(
    app: Flask, ann: Person, person: Make, team: str, join: Join
) -> None:
    bob = person("Bob")
    join(bob, team, "member")
    own = bob.call("GET", "/teams")[0]["id"]
    bob.call("POST", "/projects", 201, repository_url="https://example.com/shop.git")
    bob.call("DELETE", "/user/account", password=PASSWORD, confirm="bob@example.com")
    bob.call("GET", "/auth/me", 401)
    login = app.test_client().post("/api/v1/auth/login", json={"email": bob.email, "password": PASSWORD})
    assert login.status_code == 401
    with app.app_context():
        assert db.session.get(User, bob.id) is None
        assert list(db.session.scalars(select(Member).where(Member.user_id == bob.id))) == []
        gone = db.session.get(Team, own)
        assert gone is not None and gone.deleted_at is not None and gone.personal_of is None
        act = db.session.scalars(select(Entry).where(Entry.action == "account.deleted")).one()
        assert (act.actor_id, act.actor_name, act.actor_email) == (bob.id, "Bob", "bob@example.com")
    assert [row["name"] for row in ann.call("GET", f"/team/members?team_id={team}")] == ["Ann"]
    assert person("Bob").id != bob.id  # the address may start anew


def test_the_password_and_the_address_have_to_be_right(app: Flask, ann: Person, person: Make) -> None:
    bob = person("Bob")
    assert bob.call("DELETE", "/user/account", 401, password="wrong")["code"] == "AUTHENTICATION_FAILED"
    assert bob.call("DELETE", "/user/account", 422, password=PASSWORD, confirm="ann@example.com")
    with app.app_context():
        db.session.execute(update(LoginSession).values(proved_at=now().replace(year=2020)))
        db.session.commit()
    assert bob.call("DELETE", "/user/account", 403)["code"] == "REAUTHENTICATION_REQUIRED"
    assert bob.call("GET", "/auth/me")["email"] == bob.email


def test_nobody_guesses_a_password_by_deleting_the_account(app: Flask, ann: Person, person: Make) -> None:
    bob = person("Bob")
    for _ in range(PER_PLACE):
        bob.call("DELETE", "/user/account", 401, password="wrong")
    assert bob.call("DELETE", "/user/account", 429, password=PASSWORD)["code"] == "RATE_LIMIT_EXCEEDED"
    with app.app_context():
        failed = db.session.scalars(select(Entry).where(Entry.action == "account.sign_in_failed")).all()
    assert failed and {entry.actor_id for entry in failed} == {bob.id}


def test_the_last_master_administrator_stays(ann: Person, person: Make) -> None:
    person("Bob")
    assert ann.call("DELETE", "/user/account", 409, password=PASSWORD)
    assert ann.call("GET", "/teams")[0]["is_personal"]  # nothing of it has happened


def test_who_leaves_others_behind_says_who_owns_the_team(app: Flask, ann: Person, person: Make, join: Join) -> None:
    bob, cleo = person("Bob"), person("Cleo")
    shop, blog = (bob.call("POST", "/teams", 201, name=name)["id"] for name in ("Shop", "Blog"))
    own = bob.call("GET", "/teams")[0]["id"]
    for place in (shop, blog, own):
        join(cleo, place, "viewer")
    error = bob.call("DELETE", "/user/account", 409, password=PASSWORD)
    assert error["code"] == "CONFLICT" and {row["id"] for row in error["details"]["teams"]} == {shop, blog, own}
    heir = {row["name"]: row["id"] for row in bob.call("GET", f"/team/members?team_id={shop}")}["Cleo"]
    wrong = {shop: "nobody", blog: "delete", own: "delete"}
    assert bob.call("DELETE", "/user/account", 409, password=PASSWORD, teams=wrong)
    decided = {shop: heir, blog: "delete", own: cleo.id}
    bob.call("DELETE", "/user/account", password=PASSWORD, teams=decided)
    rows = {row["name"]: (row["role"], row["is_personal"]) for row in cleo.call("GET", "/teams")}
    assert rows == {"Cleo": ("owner", True), "Shop": ("owner", False), "Bob": ("owner", False)}


def test_the_page_asks_and_deletes(
    app: Flask, ann: Person, person: Make, join: Join, browser: Callable[[Person], FlaskClient]
) -> None:
    bob, cleo = person("Bob"), person("Cleo")
    shop = bob.call("POST", "/teams", 201, name="Shop")["id"]
    join(cleo, shop, "viewer")
    client = browser(bob)
    page = client.get("/settings/account").text
    assert "Shop has 1 other member" in page and "Hand over to Cleo" in page
    token = page.split('name="csrf_token"', 1)[1].split('value="', 1)[1].split('"', 1)[0]
    form = {"csrf_token": token, "password": PASSWORD, "confirm": bob.email}
    assert client.post("/settings/account", data={**form, "confirm": ""}).status_code == 422
    wrong = client.post("/settings/account", data={**form, "password": "x"})
    assert "This is not the password of your account" in wrong.text
    assert "Other people work in Shop" in client.post("/settings/account", data=form).text
    answer = client.post("/settings/account", data={**form, f"team-{shop}": "delete"})
    assert answer.status_code == 303 and answer.location == "/login"
    assert client.get("/dashboard").status_code == 302 or client.get("/dashboard").location.startswith("/login")
    with app.app_context():
        assert db.session.get(User, bob.id) is None
