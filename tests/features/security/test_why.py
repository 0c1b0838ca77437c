"""Why somebody can or cannot: the answer names each role, and is the one that is given when they act."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from devflow.core.access import GRANTABLE, OPEN, Permission
from tests.conftest import Person
from tests.features.security.conftest import House


def told(answer: dict[str, object]) -> list[tuple[str, str]]:
    sources = answer["sources"]
    assert isinstance(sources, list)
    return [(source["kind"], source["effect"]) for source in sources]


def test_the_path_is_explained(house: House) -> None:
    shipper = house.role("Shipper", "deployments:create")
    place = {"project_id": house.project, "user_id": house.vic.id}
    no = house.why(house.ada, "deployments:create", **place)
    assert not no["allowed"] and told(no) == [("system_role", "none"), ("team_role", "none")]
    house.give(house.tom, house.vic, shipper, team_id=house.team)
    yes = house.why(house.ada, "deployments:create", **place)
    assert yes["allowed"] and told(yes)[-1] == ("role", "allow")
    assert yes["sources"][-1]["role"] == "Shipper" and yes["sources"][-1]["given_by"] == "Tom"
    house.give(house.tom, house.vic, shipper, project_id=house.project, effect="remove")
    gone = house.why(house.ada, "deployments:create", **place)
    assert not gone["allowed"] and ("role", "deny") in told(gone)
    other = house.why(house.ada, "deployments:create", project_id=house.other_project, user_id=house.vic.id)
    assert other["allowed"]


def test_everybody_may_ask_about_themselves(house: House) -> None:
    answer = house.why(house.vic, "projects:read", project_id=house.project)
    assert answer["allowed"] and answer["user_id"] == house.vic.id and "viewer" in answer["sources"][1]["text"]
    assert not house.why(house.vic, "users:read")["allowed"]
    house.why(house.bob, "projects:read", 404, project_id=house.project)


def test_about_others_only_those_who_give_roles_may_ask(house: House) -> None:
    house.why(house.vic, "projects:read", 403, project_id=house.project, user_id=house.ada.id)
    house.why(house.ada, "projects:read", 403, user_id=house.vic.id)
    house.why(house.ada, "projects:read", 404, project_id=house.project, user_id=house.bob.id)
    house.why(house.ada, "projects:read", 404, project_id=house.project, user_id="nobody")
    assert house.why(house.ann, "projects:read", user_id=house.bob.id)["name"] == "Bob"


def test_a_switched_off_account_can_do_nothing(house: House) -> None:
    house.ann.call("PATCH", f"/users/{house.vic.id}", is_active=False)
    answer = house.why(house.ada, "projects:read", project_id=house.project, user_id=house.vic.id)
    assert not answer["allowed"] and told(answer)[0] == ("account", "deny")


def test_a_guest_whose_address_is_not_verified_hears_why(house: House) -> None:
    reader = house.role("Reader", "projects:read")
    house.tom.call("POST", "/security/access", 201, project_id=house.project, email=house.bob.email, role_id=reader)
    answer = house.why(house.ann, "projects:read", project_id=house.project, user_id=house.bob.id)
    assert not answer["allowed"] and "not verified" in answer["sources"][-1]["text"]
    house.verify(house.bob)
    assert house.why(house.bob, "projects:read", project_id=house.project)["allowed"]


def test_outside_a_place_the_places_are_named(house: House) -> None:
    shipper = house.role("Shipper", "deployments:create")
    house.give(house.tom, house.vic, shipper, project_id=house.project)
    answer = house.why(house.vic, "deployments:create")
    assert not answer["allowed"] and "shop" in answer["sources"][-1]["text"]


def test_the_answer_always_follows_from_its_sources(house: House) -> None:
    everything = sorted(p.value for p in GRANTABLE if p.value.split(":")[0] in ("projects", "deployments", "members"))
    house.give(house.ann, house.bob, house.role("All", *everything))
    house.give(house.ann, house.vic, house.role("Part", *everything[::2]), team_id=house.team)
    house.give(house.ann, house.ada, house.role("Less", *everything[1::2]), project_id=house.project, effect="remove")
    for who in (house.tom, house.ada, house.vic, house.bob):
        for permission in [*sorted(GRANTABLE), *sorted(OPEN)]:
            for place in ({}, {"team_id": house.team}, {"project_id": house.project}):
                answer = house.why(house.ann, permission.value, user_id=who.id, **place)
                effects = {effect for _, effect in told(answer)}
                assert answer["allowed"] == ("allow" in effects and "deny" not in effects), (who, permission, place)


@pytest.mark.parametrize("query", ["", "permission=nonsense", "permission=projects:read&team_id=a&project_id=b"])
def test_rubbish_is_refused(house: House, query: str) -> None:
    house.vic.call("GET", f"/security/why?{query}", 422)


def test_the_page_answers(house: House, browser: Callable[[Person], FlaskClient]) -> None:
    client = browser(house.ada)
    assert "Ask about one permission" in client.get("/security/why").text
    page = client.get(
        f"/security/why?place=project:{house.project}&user_id={house.vic.id}&permission={Permission.PROJECTS_DELETE}"
    )
    assert page.status_code == 200 and "Not allowed" in page.text and "viewer" in page.text
    assert client.get(f"/security/why?user_id={house.bob.id}").status_code == 403
    assert client.get("/security/why?permission=nonsense").status_code == 422
