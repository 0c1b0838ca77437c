"""Roles given everywhere, in a team and on a project; taken back; taken away."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from devflow.core import epoch
from devflow.core.db import db
from devflow.features.roles.models import Assignment
from tests.conftest import Person, csrf
from tests.features.security.conftest import House


def test_a_role_given_on_a_project_counts_there_and_nowhere_else(house: House) -> None:
    shipper = house.role("Shipper", "deployments:create", "projects:read")
    house.deploy(house.vic, 403)
    held = house.give(house.tom, house.vic, shipper, project_id=house.project)
    assert "deployments:create" in held["permissions"] and held["user_id"] == house.vic.id
    assert [role["name"] for role in held["roles"]] == ["user", "Shipper"]
    house.deploy(house.vic, 201)
    house.deploy(house.vic, 403, house.other_project)


def test_a_role_given_in_a_team_counts_on_its_projects(house: House) -> None:
    shipper = house.role("Shipper", "deployments:create")
    house.give(house.ada, house.vic, shipper, team_id=house.team)
    house.deploy(house.vic, 201)
    house.deploy(house.vic, 201, house.other_project)
    own = house.vic.call("POST", "/projects", 201, repository_url="https://example.com/own.git")
    house.deploy(house.bob, 404, own["id"])


def test_a_role_given_everywhere_counts_everywhere(house: House) -> None:
    shipper = house.role("Shipper", "deployments:create", "projects:read")
    house.deploy(house.bob, 404)
    house.give(house.ann, house.bob, shipper)
    house.deploy(house.bob, 201)
    house.take(house.ann, house.bob, shipper)
    house.deploy(house.bob, 404)


def test_what_is_taken_away_on_a_project_is_gone_there_even_from_the_team_role(house: House) -> None:
    shipper = house.role("Shipper", "deployments:create")
    house.give(house.ann, house.ada, shipper, project_id=house.project, effect="remove")
    house.deploy(house.ada, 403)
    house.deploy(house.ada, 201, house.other_project)
    house.take(house.ann, house.ada, shipper, query=f"?project_id={house.project}")
    house.deploy(house.ada, 201)


def test_what_is_taken_away_in_a_team_is_gone_on_its_projects(house: House) -> None:
    shipper = house.role("Shipper", "deployments:create")
    house.give(house.tom, house.ada, shipper, team_id=house.team, effect="remove")
    house.deploy(house.ada, 403)
    house.deploy(house.ada, 403, house.other_project)
    house.give(house.tom, house.ada, shipper, project_id=house.project)
    house.deploy(house.ada, 403)  # taking away wins


def test_giving_twice_is_giving_once(house: House) -> None:
    shipper = house.role("Shipper", "deployments:create")
    for _ in range(2):
        house.give(house.tom, house.vic, shipper, team_id=house.team)
    assert len(house.ann.call("GET", f"/security/users/{house.vic.id}/roles")) == 1
    house.give(house.tom, house.vic, shipper, team_id=house.team, effect="remove")
    (row,) = house.ann.call("GET", f"/security/users/{house.vic.id}/roles")
    assert (row["effect"], row["scope"], row["given_by"]) == ("remove", "team", "Tom")
    house.take(house.tom, house.vic, shipper, query=f"?team_id={house.team}")
    house.take(house.tom, house.vic, shipper, 404, query=f"?team_id={house.team}")


def test_two_who_give_at_the_same_moment_give_one_role(house: House) -> None:
    shipper = house.role("Shipper", "deployments:create")
    ready, answers = threading.Barrier(4), list[int]()

    def give() -> None:
        client = house.app.test_client()
        ready.wait()
        answer = client.post(
            f"/api/v1/security/users/{house.vic.id}/roles/{shipper}", json={"team_id": house.team},
            headers={"Authorization": f"Bearer {house.tom.token}"},
        )  # fmt: skip
        answers.append(answer.status_code)

    threads = [threading.Thread(target=give) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 4
    with house.app.app_context():
        assert db.session.query(Assignment).count() == 1


@pytest.mark.parametrize(
    ("permission", "expected"), [("deployments:create", 200), ("teams:delete", 403), ("projects:delete", 200)]
)
def test_nobody_gives_what_they_lack_in_that_place(house: House, permission: str, expected: int) -> None:
    role = house.role("Some", permission)
    house.give(house.ada, house.vic, role, expected, team_id=house.team)
    house.give(house.tom, house.vic, role, team_id=house.team)
    house.take(house.ada, house.vic, role, expected, query=f"?team_id={house.team}")


def test_who_gives_roles_in_a_team_gives_none_elsewhere(house: House) -> None:
    shipper = house.role("Shipper", "deployments:create")
    house.give(house.ada, house.vic, shipper, 403)
    theirs = house.bob.call("POST", "/projects", 201, repository_url="https://example.com/x.git")
    house.give(house.ada, house.vic, shipper, 404, project_id=theirs["id"])
    house.give(house.ada, house.vic, shipper, 404, team_id=theirs["team_id"])
    house.give(house.vic, house.ada, shipper, 403, team_id=house.team)
    house.give(house.bob, house.ada, shipper, 404, team_id=house.team)


def test_somebody_given_the_right_to_give_roles_on_a_project_gives_them_there_only(house: House) -> None:
    keeper = house.role("Keeper", "roles:assign", "deployments:create", "projects:read")
    house.give(house.tom, house.vic, keeper, project_id=house.project)
    shipper = house.role("Shipper", "deployments:create")
    house.give(house.vic, house.ada, shipper, project_id=house.project)
    house.give(house.vic, house.ada, shipper, 403, project_id=house.other_project)
    house.give(house.vic, house.ada, shipper, 403, team_id=house.team)
    bigger = house.role("Bigger", "projects:delete")
    house.give(house.vic, house.vic, bigger, 403, project_id=house.project)


def test_what_means_nothing_on_a_team_is_not_given_there(house: House) -> None:
    reader = house.role("Reader", "users:read")
    error = house.give(house.ann, house.vic, reader, 422, team_id=house.team)
    assert "users:read" in error["message"]
    house.give(house.ann, house.vic, reader, 422, project_id=house.project)
    house.give(house.ann, house.vic, reader, 422, effect="remove")
    house.give(house.ann, house.vic, reader)


@pytest.mark.parametrize(
    "body",
    [
        {"team_id": "a", "project_id": "b"},
        {"effect": "perhaps"},
        {"team_id": ["a"]},
        {"team_id": "x" * 64},
    ],
)
def test_rubbish_is_refused(house: House, body: dict[str, object]) -> None:
    house.give(house.ann, house.vic, house.role("Reader"), 422, **body)


def test_nothing_is_told_of_people_one_does_not_know(house: House) -> None:
    shipper = house.role("Shipper", "deployments:create")
    house.give(house.tom, house.bob, shipper, 404, team_id=house.team)
    nobody = Person(house.bob.client, "00000000-0000-0000-0000-000000000000", "", "")
    first = house.give(house.tom, house.bob, shipper, 404, team_id=house.team)
    second = house.give(house.tom, nobody, shipper, 404, team_id=house.team)
    assert first["message"] == second["message"]
    house.give(house.tom, house.vic, "00000000-0000-0000-0000-000000000000", 404, team_id=house.team)


def test_from_owners_and_from_those_above_nothing_is_taken_away(house: House) -> None:
    reader = house.role("Reader", "projects:read")
    house.give(house.ada, house.tom, reader, 409, team_id=house.team, effect="remove")
    house.give(house.tom, house.tom, reader, 409, project_id=house.project, effect="remove")
    house.give(house.ada, house.vic, house.role("Crown", "teams:update"), team_id=house.team)
    house.ann.call("PUT", f"/users/{house.vic.id}/role", role="admin")
    house.give(house.ada, house.vic, reader, 403, team_id=house.team, effect="remove")


def test_a_built_in_role_is_given_everywhere_by_master_administrators(house: House) -> None:
    rows = {row["name"]: row["id"] for row in house.ann.call("GET", "/security/roles")}
    held = house.give(house.ann, house.vic, rows["admin"])
    assert [role["name"] for role in held["roles"]] == ["admin"] and "users:manage" in held["permissions"]
    house.give(house.vic, house.bob, rows["admin"], 403)
    house.give(house.vic, house.vic, rows["master_admin"], 403)
    house.give(house.ann, house.vic, rows["admin"], 422, team_id=house.team)
    house.give(house.ann, house.vic, rows["admin"], 422, effect="remove")
    house.take(house.ann, house.vic, rows["approver"], 404)
    assert house.take(house.ann, house.vic, rows["admin"])["roles"][0]["name"] == "user"
    house.take(house.ann, house.vic, rows["user"], 409)
    house.take(house.ann, house.ann, rows["master_admin"], 409)


def test_open_connections_hear_of_every_change(house: House) -> None:
    def now() -> int:
        with house.app.app_context():
            return epoch.current()

    shipper, seen = house.role("Shipper", "deployments:create"), [now()]
    for change in (
        lambda: house.give(house.tom, house.vic, shipper, team_id=house.team),
        lambda: house.give(house.tom, house.vic, shipper, team_id=house.team, effect="remove"),
        lambda: house.ann.call("PATCH", f"/security/roles/{shipper}", permissions=[]),
        lambda: house.take(house.tom, house.vic, shipper, query=f"?team_id={house.team}"),
        lambda: house.ann.call("DELETE", f"/security/roles/{shipper}"),
    ):
        change()
        seen.append(now())
    assert seen == sorted(set(seen))


def test_every_change_is_in_the_ledger_of_the_team(house: House) -> None:
    shipper = house.role("Shipper", "deployments:create")
    house.give(house.tom, house.vic, shipper, project_id=house.project)
    house.take(house.tom, house.vic, shipper, query=f"?project_id={house.project}")
    acts = [(row["action"], row["resource_name"]) for row in house.ann.call("GET", f"/audit?team_id={house.team}")]
    assert acts[:2] == [("user.role_taken", "Vic"), ("user.role_given", "Vic")]


def test_who_leaves_nothing_behind_reaches_nothing(house: House) -> None:
    shipper = house.role("Shipper", "deployments:create", "projects:read")
    house.give(house.ann, house.bob, shipper, project_id=house.project)
    house.deploy(house.bob, 201)
    assert [row["id"] for row in house.bob.call("GET", "/projects")] == [house.project]
    house.bob.call("GET", f"/projects/{house.other_project}", 404)
    house.ann.call("DELETE", f"/security/roles/{shipper}")
    house.deploy(house.bob, 404)
    assert house.bob.call("GET", "/projects") == []


def test_lists_show_nothing_that_was_taken_away_in_the_team(house: House) -> None:
    reader = house.role("Reader", "projects:read")
    house.give(house.tom, house.vic, reader, project_id=house.project)
    house.give(house.tom, house.vic, reader, team_id=house.team, effect="remove")
    house.vic.call("GET", f"/projects/{house.project}", 403)
    assert house.project not in [row["id"] for row in house.vic.call("GET", "/projects")]
    house.give(house.ann, house.bob, reader, project_id=house.project)
    assert [row["id"] for row in house.bob.call("GET", "/projects")] == [house.project]
    house.give(house.ann, house.bob, reader, team_id=house.team, effect="remove")
    house.bob.call("GET", f"/projects/{house.project}", 404)
    assert house.bob.call("GET", "/projects") == []


def test_the_page_gives_and_takes_away_and_knows_nothing_else(
    house: House, browser: Callable[[Person], FlaskClient]
) -> None:
    shipper, client = house.role("Shipper", "deployments:create"), browser(house.ann)
    form = {"csrf_token": csrf(client), "role_id": shipper, "place": f"team:{house.team}", "effect": "sideways"}
    assert client.post(f"/admin/users/{house.vic.id}/roles", data=form).status_code == 422
    house.deploy(house.vic, 403)
    assert client.post(f"/admin/users/{house.vic.id}/roles", data=form | {"effect": "grant"}).status_code == 303
    house.deploy(house.vic, 201)
