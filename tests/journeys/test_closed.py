"""What the address of a project says when no version of it serves, and when its team has closed it."""

from __future__ import annotations

from collections.abc import Callable

import docker
import pytest

from tests.journeys.platform import Platform, Repository, User, python_app, wait_for

pytestmark = pytest.mark.slow


def test_an_address_says_that_nothing_is_live_yet(
    platform: Platform, user: User, repository: Callable[..., Repository]
) -> None:
    code = repository("first", {"README.md": "nothing to build"})
    project = user.project(str(code))
    host = f"{project['slug']}.localhost"
    wait_for(lambda: platform.visit(host).status_code == 503, 10, "the address of a new project")
    assert "no running version" in platform.visit(host).text
    failed = user.ended(user.deploy(project))
    assert failed["error_cause"] == "nothing_detected"
    said = platform.visit(host)
    assert said.status_code == 503 and "No deployment of it has gone live yet" in said.text
    code.commit(python_app("there"))
    assert user.ended(user.deploy(project))["status"] == "success"
    assert platform.visit(host).text == "there"
    user.call("DELETE", f"/projects/{project['id']}?force=true")
    wait_for(lambda: platform.visit(host).status_code == 404, 10, "the removal of its route")


def test_maintenance_and_inactive_close_the_address(
    platform: Platform, user: User, repository: Callable[..., Repository]
) -> None:
    code = repository("closing", python_app("one"))
    project = user.project(str(code))
    host, path = f"{project['slug']}.localhost", f"/projects/{project['id']}"
    first = user.ended(user.deploy(project))
    assert first["status"] == "success", user.log(first)
    labels = {"label": [f"devflow.project={project['id']}", "devflow.role=app"]}

    def running() -> int:
        return len(docker.from_env().api.containers(filters=labels))

    def says(words: str) -> Callable[[], bool]:
        return lambda: words in platform.visit(host).text

    user.call("PATCH", path, status="maintenance")
    wait_for(says("Down for maintenance"), 10, "the maintenance page")
    answer = platform.visit(host, "/any/where")
    assert (answer.status_code, answer.headers["retry-after"], running()) == (503, "120", 1)
    code.commit(python_app("two"))
    second = user.ended(user.deploy(project))
    assert second["status"] == "success", user.log(second)
    assert says("Down for maintenance")()
    user.call("PATCH", path, status="active")
    wait_for(says("two"), 10, "the end of the maintenance")

    user.call("PATCH", path, status="inactive")
    wait_for(says("switched off"), 10, "the page of an inactive project")
    wait_for(lambda: running() == 0, 10, "the stop of its container")
    refused = user.call("POST", f"{path}/deploy", 409)
    assert "inactive" in refused["message"]
    user.call("PATCH", path, status="active")
    wait_for(says("two"), 20, "the return of the site")
    assert user.deployment(second)["live"] and user.deployment(second)["status"] == "success"
