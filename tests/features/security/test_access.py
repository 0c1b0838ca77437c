"""Who can reach a project; guests by address, of whom nothing is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import time_machine
from flask.testing import FlaskClient
from sqlalchemy import select, update

from devflow.core.db import db
from devflow.core.settings import Settings
from devflow.features.accounts.models import User
from devflow.features.mail.models import Letter
from devflow.features.mail.tasks import rendered
from devflow.features.teams.models import Member
from devflow.ports.mail import Message
from devflow.web.ports import port
from tests.conftest import PASSWORD, Person, csrf
from tests.features.security.conftest import House


@pytest.fixture
def shipper(house: House) -> str:
    return house.role("Shipper", "deployments:create", "projects:read")


def reaching(house: House, by: Person) -> dict[str, Any]:
    return {row["email"]: row for row in by.call("GET", f"/security/access?project_id={house.project}")}


def share(house: House, by: Person, email: str, role: str, expect: int = 201, **more: Any) -> Any:
    place = more or {"project_id": house.project}
    return by.call("POST", "/security/access", expect, email=email, role_id=role, **place)


def test_everybody_who_can_reach_a_project_is_listed_with_the_reason(house: House, shipper: str) -> None:
    house.give(house.tom, house.vic, shipper, team_id=house.team)
    house.give(house.ann, house.bob, shipper, project_id=house.project)
    rows = reaching(house, house.ada)
    assert {email: row["team_role"] for email, row in rows.items()} == {
        "tom@example.com": "owner", "ada@example.com": "admin", "vic@example.com": "viewer", "bob@example.com": None,
    }  # fmt: skip
    (grant,) = rows["vic@example.com"]["grants"]
    assert (grant["role_name"], grant["scope"], grant["given_by"]) == ("Shipper", "team", "Tom")
    house.vic.call("GET", f"/security/access?project_id={house.project}", 403)


def test_an_address_is_answered_alike_whether_or_not_there_is_an_account(house: House, shipper: str) -> None:
    there, nobody = share(house, house.tom, house.bob.email, shipper), share(house, house.tom, "no@one.com", shipper)
    own = {"id", "email", "created_at"}
    assert {k: v for k, v in there.items() if k not in own} == {k: v for k, v in nobody.items() if k not in own}
    rows = reaching(house, house.tom)
    first, second = rows[house.bob.email], rows["no@one.com"]
    assert first["user_id"] is second["user_id"] is None and first["name"] == house.bob.email
    assert first["is_active"] and second["is_active"]


def test_a_guest_gets_in_when_the_address_is_verified(house: House, shipper: str) -> None:
    share(house, house.tom, house.bob.email, shipper)
    house.deploy(house.bob, 404)
    house.verify(house.bob)
    house.deploy(house.bob, 201)
    house.bob.call("GET", f"/projects/{house.other_project}", 404)
    assert reaching(house, house.tom)[house.bob.email]["user_id"] is None  # still nothing is told
    grant = reaching(house, house.tom)[house.bob.email]["grants"][0]["id"]
    house.tom.call("DELETE", f"/security/access/{grant}?project_id={house.project}")
    house.deploy(house.bob, 404)


def test_a_guest_who_comes_later_gets_in(house: House, shipper: str, person: Callable[..., Person]) -> None:
    share(house, house.tom, "zoe@example.com", shipper)
    zoe = person("Zoe")
    house.deploy(zoe, 404)
    house.verify(zoe)
    house.deploy(zoe, 201)


def test_sharing_twice_is_sharing_once_in_any_spelling(house: House, shipper: str) -> None:
    first, second = share(house, house.tom, "no@one.com", shipper), share(house, house.tom, " NO@One.com ", shipper)
    assert first["id"] == second["id"]


def test_a_member_named_by_address_is_given_the_role_at_once(house: House, shipper: str) -> None:
    assert share(house, house.ada, house.vic.email, shipper)["user_id"] == house.vic.id
    house.deploy(house.vic, 201)


def test_only_projects_have_guests(house: House, shipper: str) -> None:
    share(house, house.tom, "no@one.com", shipper, 422, team_id=house.team)
    share(house, house.tom, house.bob.email, shipper, 422, team_id=house.team)
    share(house, house.tom, "no@one.com", shipper, 422, project_id=house.project, effect="remove")


@pytest.mark.parametrize("email", ["", "nobody", "a@b", "a@b.com\r\nBcc: x@y.com", "ａ@b.com,c@d.com"])
def test_rubbish_is_no_address(house: House, shipper: str, email: str) -> None:
    share(house, house.tom, email, shipper, 422)


def test_nobody_shares_more_than_they_hold(house: House) -> None:
    crown = house.role("Crown", "teams:delete")
    share(house, house.ada, "no@one.com", crown, 403)
    share(house, house.tom, "no@one.com", crown)
    grant = reaching(house, house.ada)["no@one.com"]["grants"][0]["id"]
    house.ada.call("DELETE", f"/security/access/{grant}?project_id={house.project}", 403)
    share(house, house.vic, "no@one.com", crown, 403)
    share(house, house.bob, "no@one.com", crown, 404)


def test_a_grant_is_undone_only_where_it_was_given(house: House, shipper: str) -> None:
    house.give(house.tom, house.vic, shipper, team_id=house.team)
    grant = reaching(house, house.tom)[house.vic.email]["grants"][0]["id"]
    house.tom.call("DELETE", f"/security/access/{grant}?project_id={house.project}", 404)
    house.tom.call("DELETE", f"/security/access/{grant}", 403)
    house.tom.call("DELETE", f"/security/access/{grant}?team_id={house.team}")


def test_roles_that_can_be_given_are_offered(house: House, shipper: str) -> None:
    house.role("Crown", "teams:delete")
    house.role("Reader", "users:read")
    offered = house.ada.call("GET", f"/security/access/roles?project_id={house.project}")
    assert [role["name"] for role in offered] == ["Shipper"]
    assert len(house.ann.call("GET", "/security/access/roles")) == 3


def test_the_page_gives_and_takes_back(house: House, shipper: str, browser: Callable[[Person], FlaskClient]) -> None:
    client = browser(house.ada)
    token, path = csrf(client), f"/projects/{house.project}/access"
    assert "Vic" in client.get(path).text
    form = {"csrf_token": token, "email": "no@one.com", "role_id": shipper}
    assert client.post(path, data=form).status_code == 303
    assert "no@one.com" in client.get(path).text and "Kept for" not in client.get(path).text
    bad = client.post(path, data={**form, "email": "nobody"})
    assert bad.status_code == 422 and 'value="nobody"' in bad.text
    grant = reaching(house, house.ada)["no@one.com"]["grants"][0]["id"]
    assert client.post(f"{path}/{grant}/withdraw", data={"csrf_token": token}).status_code == 303
    assert "no@one.com" not in client.get(path).text
    assert browser(house.vic).get(path).status_code == 403
    assert browser(house.bob).get(path).status_code == 404


def test_the_page_of_a_team_gives_roles_to_members(
    house: House, shipper: str, browser: Callable[[Person], FlaskClient]
) -> None:
    client = browser(house.tom)
    token, path = csrf(client), "/team/access"
    form = {"csrf_token": token, "email": house.vic.email, "role_id": shipper}
    assert client.post(path, data=form).status_code == 303
    house.deploy(house.vic, 201, house.other_project)
    assert client.post(path, data={**form, "email": "no@one.com"}).status_code == 422
    assert client.post(path, data={"csrf_token": token}).status_code == 422
    (grant,) = house.ann.call("GET", f"/security/users/{house.vic.id}/roles")
    assert client.post(f"{path}/{grant['id']}/withdraw", data={"csrf_token": token}).status_code == 303
    house.deploy(house.vic, 403, house.other_project)


def letters(house: House, email: str) -> list[Message]:
    """The letters to a guest, as they are sent."""
    with house.app.app_context(), house.app.test_request_context():
        found = db.session.scalars(select(Letter).where(Letter.to == email, Letter.template == "guest"))
        return [rendered(letter, port(Settings)) for letter in found]


def asked_in(letter: Message) -> dict[str, str]:
    """What the link of a letter asks for."""
    link = next(line for line in letter.text.splitlines() if line.startswith("http"))
    return {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()}


def test_the_letter_is_the_same_whether_or_not_there_is_an_account(house: House, shipper: str) -> None:
    said = []
    for email in (house.bob.email, "no@one.com"):
        share(house, house.tom, email, shipper)
        share(house, house.tom, email, shipper)  # what is given already is not told again
        (letter,) = letters(house, email)
        assert letter.subject == "Tom gives you access to shop" and "the role Shipper" in letter.text
        token = asked_in(letter)["invite_token"]
        for text in (letter.text, letter.html):
            said.append(text.replace(token, "").replace(quote(email, safe=""), "").replace(email, ""))
    assert said[0] == said[2] and said[1] == said[3]


def test_no_letter_to_members_nor_when_the_role_cannot_be_given(house: House, shipper: str) -> None:
    share(house, house.ada, house.vic.email, shipper)
    share(house, house.vic, "no@one.com", shipper, expect=403)
    assert letters(house, house.vic.email) == letters(house, "no@one.com") == []


def test_a_name_cannot_write_into_the_head_or_the_markup_of_the_letter(house: House, shipper: str) -> None:
    house.tom.call("PUT", "/user/profile", name="Tom <b>Owner</b>")
    share(house, house.tom, "no@one.com", shipper)
    (letter,) = letters(house, "no@one.com")
    assert letter.subject == "Tom <b>Owner</b> gives you access to shop"
    assert "<b>Owner" not in letter.html and "Tom &lt;b&gt;Owner" in letter.html


def test_a_mailbox_cannot_be_flooded_by_sharing(house: House, shipper: str) -> None:
    for _ in range(10):
        grant = share(house, house.tom, "no@one.com", shipper)
        house.tom.call("DELETE", f"/security/access/{grant['id']}?project_id={house.project}")
    share(house, house.tom, "no@one.com", shipper, expect=429)
    assert "no@one.com" not in reaching(house, house.tom)


def test_by_the_letter_a_guest_joins_where_sign_up_is_closed(
    house: House, shipper: str, browser: Callable[[Person], FlaskClient]
) -> None:
    admin = browser(house.ann)
    assert admin.post("/admin", data={"sign_up": "closed", "csrf_token": csrf(admin)}).status_code == 303
    grant = share(house, house.tom, "zoe@example.com", shipper)
    (letter,) = letters(house, "zoe@example.com")
    asked, zoe = asked_in(letter), house.app.test_client()
    assert asked["next"] == "/projects/shop"

    page = zoe.get("/login", query_string=asked).text
    assert "Create an account" in page and 'value="zoe@example.com"' in page
    form = {"name": "Zoe", "email": "zoe@example.com", "password": PASSWORD, "csrf_token": csrf(zoe)}
    for token in ("", "rubbish", "ü", f"{grant['id']}.", grant["id"]):
        assert zoe.post("/signup", data={**form, "invite_token": token}).status_code in (403, 422)
    other = {**form, "email": "eve@example.com", "invite_token": asked["invite_token"]}
    assert zoe.post("/signup", data=other).status_code in (403, 422), "it is bound to its address"

    joined = zoe.post("/signup", query_string=asked, data={**form, "invite_token": asked["invite_token"]})
    assert joined.status_code == 303 and joined.location == "/projects/shop"
    early = zoe.get("/projects/shop")
    assert early.status_code == 404 and "Your address is not confirmed yet" in early.text
    with house.app.app_context():
        db.session.execute(update(User).where(User.email == "zoe@example.com").values(email_verified=True))
        db.session.commit()
    assert zoe.get("/projects/shop").status_code == 200


@pytest.mark.parametrize("over", ["taken back", "a week later"])
def test_a_letter_whose_time_is_over_makes_no_account(
    house: House, shipper: str, browser: Callable[[Person], FlaskClient], over: str
) -> None:
    admin = browser(house.ann)
    admin.post("/admin", data={"sign_up": "invitation", "csrf_token": csrf(admin)})
    grant = share(house, house.tom, "zoe@example.com", shipper)
    token = asked_in(letters(house, "zoe@example.com")[0])["invite_token"]
    body = {"name": "Zoe", "email": "zoe@example.com", "password": PASSWORD, "invite_token": token}
    if over == "taken back":
        house.tom.call("DELETE", f"/security/access/{grant['id']}?project_id={house.project}")
    with time_machine.travel(timedelta(days=8 if over == "a week later" else 0), tick=True):
        assert house.app.test_client().post("/api/v1/auth/register", json=body).status_code == 403


class TestWithMail:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"smtp_host": "127.0.0.1", "smtp_port": 1}

    def test_only_verified_people_write_to_strangers(
        self, house: House, shipper: str, browser: Callable[[Person], FlaskClient]
    ) -> None:
        assert share(house, house.tom, "no@one.com", shipper, expect=403)["code"] == "EMAIL_NOT_VERIFIED"
        house.verify(house.tom)
        client = browser(house.tom)
        form = {"email": "no@one.com", "role_id": shipper, "effect": "grant", "csrf_token": csrf(client)}
        said = client.post("/projects/shop/access", data=form, follow_redirects=True).text
        assert "Kept for no@one.com. A letter is on its way." in said
        assert len(letters(house, "no@one.com")) == 1


def test_the_page_finds_people_and_shows_the_exceptions_first(
    house: House, shipper: str, browser: Callable[[Person], FlaskClient]
) -> None:
    share(house, house.tom, "no@one.com", shipper)
    with house.app.app_context():
        for number in range(60):
            user = User(name=f"Dev {number:02}", email=f"dev{number:02}@example.com", username=f"dev{number:02}")
            db.session.add(user)
            db.session.flush()
            db.session.add(Member(team_id=house.team, user_id=user.id, email=user.email, role="viewer"))
        db.session.commit()
    client = browser(house.tom)
    page = client.get("/projects/shop/access").text
    assert page.index(">no@one.com<") < page.index(">ada@example.com<") and ">dev59@example.com<" not in page
    assert "1–50 of 64" in page
    assert ">dev59@example.com<" in client.get("/projects/shop/access?page=2").text
    found = client.get("/projects/shop/access?search=DEV+59&block=rows", headers={"HX-Request": "true"}).text
    assert ">dev59@example.com<" in found and ">dev58@example.com<" not in found and "<form class" not in found
    assert "Nobody matches" in client.get("/projects/shop/access?search=zzz").text
