"""Deployments over the API: what the contract promises, and what cannot be asked."""

from __future__ import annotations

import pytest

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
