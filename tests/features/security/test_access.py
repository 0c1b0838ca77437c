"""Who can reach a project; guests by address, of whom nothing is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.conftest import Person, csrf
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
