"""A number is given once."""

from __future__ import annotations

from tests.conftest import Person


def test_a_deleted_deployment_keeps_its_number_to_itself(ann: Person) -> None:
    project = ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git")
    numbers = []
    for _ in range(3):
        made = ann.call("POST", f"/projects/{project['id']}/deploy", 201)
        numbers.append(made["number"])
        ann.call("POST", f"/deployments/{made['id']}/cancel")
        ann.call("DELETE", f"/deployments/{made['id']}")
    assert numbers == [1, 2, 3]
