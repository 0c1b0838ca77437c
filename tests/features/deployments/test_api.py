"""Deployments over the API: what the contract promises, and what cannot be asked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from flask import Flask

from devflow.ports.logs import Logs
from devflow.web.ports import port
from tests.conftest import Person

URL = "https://example.com/team/shop.git"


@pytest.mark.parametrize(
    "query",
    [
        "logs?page=99999999999999999999999",
        "logs?after=99999999999999999999999",
        "logs?limit=0",
    ],
)
def test_a_place_in_a_log_that_cannot_be_is_refused(ann: Person, query: str) -> None:
    ann.call("POST", "/projects", 201, repository_url=URL, name="Shop")
    deployment = ann.call("POST", "/projects/shop/deploy", 201)
    assert ann.call("GET", f"/deployments/{deployment['id']}/{query}", 422)["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00%2B05:00"])
def test_a_date_beyond_every_calendar_is_refused(ann: Person, moment: str) -> None:
    errors = ann.call("GET", f"/deployments?from_date={moment}", 422)["details"]["errors"]
    assert errors == [{"field": "from_date", "message": "A date from 1971 to 9998."}]


def test_a_project_shows_twenty_deployments_a_page_and_the_list_ten(ann: Person) -> None:
    ann.call("POST", "/projects", 201, repository_url=URL, name="Shop")
    headers = {"Authorization": f"Bearer {ann.token}"}
    for path, size in (("/api/v1/projects/shop/deployments", 20), ("/api/deployments", 10)):
        assert ann.client.get(path, headers=headers).get_json()["meta"]["pagination"]["per_page"] == size


def test_what_was_begun_is_said_in_the_words_of_the_contract(ann: Person) -> None:
    headers = {"Authorization": f"Bearer {ann.token}"}
    made = ann.client.post("/api/v1/projects", json={"repository_url": URL, "name": "Shop"}, headers=headers)
    assert made.get_json()["message"] == "Project created successfully"
    begun = ann.client.post("/api/v1/projects/shop/deploy", headers=headers)
    assert begun.get_json()["message"] == "Deployment queued successfully"


def test_the_name_of_a_repository_may_be_long(ann: Person) -> None:
    made = ann.call("POST", "/deployments", 201, repository=f"https://example.com/{'a' * 300}")
    assert made["repo"] == "a" * 100


@pytest.fixture
def logged(app: Flask, ann: Person) -> str:
    """A deployment with 25 lines, every fifth a warning, the last five of them at noon."""
    ann.call("POST", "/projects", 201, repository_url=URL, name="Shop")
    deployment = ann.call("POST", "/projects/shop/deploy", 201)
    with app.app_context():
        writer = port(Logs).writer(f"deployment/{deployment['project_id']}/{deployment['id']}")
        for number in range(1, 26):
            with time_machine.travel(datetime(2026, 11, 22, 12 if number > 20 else 9, tzinfo=UTC), tick=False):
                writer.write(f"line {number}", level="warning" if number % 5 == 0 else "info")
        writer.close()
    return f"/api/v1/deployments/{deployment['id']}/logs"


def asked(ann: Person, path: str) -> tuple[list[int], dict[str, Any], dict[str, Any]]:
    """The numbers of the lines, the data, and where they stand."""
    answer = ann.client.get(path, headers={"Authorization": f"Bearer {ann.token}"}).get_json()
    return [line["id"] for line in answer["data"]["logs"]], answer["data"], answer["meta"]["pagination"]


def test_a_log_is_read_page_by_page(ann: Person, logged: str) -> None:
    lines, data, place = asked(ann, f"{logged}?limit=10")
    assert lines == list(range(1, 11)) and data["has_more"] and data["next_after"] == 10
    assert (place["total"], place["page"], place["per_page"], place["total_pages"], place["has_more"]) == (
        25, 1, 10, 3, True,
    )  # fmt: skip
    lines, data, place = asked(ann, f"{logged}?limit=10&page=3")
    assert lines == list(range(21, 26)) and not data["has_more"] and not place["has_more"] and place["page"] == 3
    lines, data, _ = asked(ann, f"{logged}?limit=10&after=20")
    assert lines == list(range(21, 26)) and not data["has_more"]
    assert asked(ann, f"{logged}?after=25")[0] == []
    assert asked(ann, f"{logged}?limit=100000")[2]["per_page"] == 1000


def test_a_filtered_log_knows_whether_there_is_more(ann: Person, logged: str) -> None:
    lines, data, place = asked(ann, f"{logged}?level=warning&limit=3")
    assert lines == [5, 10, 15] and data["has_more"] and place["total"] == data["total_lines"] == 5
    lines, data, _ = asked(ann, f"{logged}?level=warning&limit=3&page=2")
    assert lines == [20, 25] and not data["has_more"]
    lines, data, _ = asked(ann, f"{logged}?level=warning&limit=2&after=15")
    assert lines == [20, 25] and not data["has_more"]
    assert asked(ann, f"{logged}?search=line%205&limit=1")[1]["has_more"] is False


def test_a_log_since_a_moment(ann: Person, logged: str) -> None:
    assert asked(ann, f"{logged}?since=2026-11-22T10:00:00Z")[0] == [21, 22, 23, 24, 25]
    assert asked(ann, f"{logged}?since=2026-11-22T13:00:00%2B02:00&level=warning")[0] == [25]
    assert asked(ann, f"{logged}?since=2026-11-23T00:00:00Z")[0] == []
    ann.call("GET", f"{logged.removeprefix('/api/v1')}?since=yesterday", 422)


@pytest.mark.parametrize("asked_for", [URL, URL.removesuffix(".git"), URL + "/", "example.com/team/shop", "shop"])
def test_a_repository_leads_to_its_project(ann: Person, asked_for: str) -> None:
    project = ann.call("POST", "/projects", 201, repository_url=URL, name="Shop")
    ann.call("POST", "/projects", 201, repository_url="https://example.com/team/workshop.git", name="Work")
    ann.call("POST", "/projects", 201, repository_url="https://example.com/team/sh_p.git", name="Wild")
    assert ann.call("POST", "/deployments", 201, repository=asked_for)["project_id"] == project["id"]


def test_a_repository_does_not_lead_to_a_stranger_s_project(ann: Person, person: Callable[[str], Person]) -> None:
    ben = person("Ben")
    theirs = ann.call("POST", "/projects", 201, repository_url=URL, name="Shop")
    assert ben.call("POST", "/deployments", 201, repository=URL)["project_id"] != theirs["id"]
