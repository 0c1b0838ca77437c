"""The main story over HTTP: create, deploy, visit, change, redeploy, roll back, cancel, delete."""

from __future__ import annotations

from collections.abc import Callable

import docker
import pytest

from tests.journeys.platform import Platform, Repository, User, python_app, wait_for

pytestmark = pytest.mark.slow


def test_from_a_repository_to_a_live_address_and_back(
    platform: Platform, user: User, repository: Callable[..., Repository]
) -> None:
    code = repository("shop", python_app("one"))
    project = user.project(code, environment_variables={"GREETING": "very secret words"})
    host = f"{project['slug']}.localhost"

    first = user.ended(user.deploy(project))
    assert first["status"] == "success", user.log(first)
    assert first["progress"] == 100 and first["live"] and first["url"].startswith(f"http://{host}")
    assert platform.visit(host).text == "one"
    assert [stage["status"] for stage in first["stages"]] == ["completed"] * 4

    sha = code.commit(python_app("two"), "Say two")
    second = user.ended(user.deploy(project))
    assert second["status"] == "success" and second["commit_hash"] == sha and second["commit_message"] == "Say two"
    assert platform.visit(host).text == "two"
    assert not user.deployment(first)["live"]

    answer = user.call("POST", f"/projects/{project['id']}/rollback", 201, target_deployment_id=first["id"])
    back = user.ended({"id": answer["rollback_deployment_id"]})
    assert back["status"] == "success" and back["rollback_of_id"] == first["id"]
    assert platform.visit(host).text == "one"

    again = user.ended(user.call("POST", f"/deployments/{second['id']}/redeploy", 201))
    assert again["status"] == "success" and platform.visit(host).text == "two"

    user.call("DELETE", f"/deployments/{back['id']}")
    user.call("DELETE", f"/deployments/{again['id']}", 409)
    user.call("DELETE", f"/projects/{project['id']}", 409)
    user.call("DELETE", f"/projects/{project['id']}?force=true")
    engine = docker.from_env()
    labels = {"label": f"devflow.project={project['id']}"}
    wait_for(lambda: not engine.api.containers(all=True, filters=labels), 30, "the removal of its containers")
    wait_for(lambda: not engine.api.images(filters=labels), 30, "the removal of its images")
    wait_for(lambda: platform.visit(host).status_code == 404, 10, "the removal of its route")


def test_a_static_site_is_served_by_the_edge_and_leaves_no_container(
    platform: Platform, user: User, repository: Callable[..., Repository]
) -> None:
    code = repository("pages", {"index.html": "<h1>Bonjour</h1>", "404.html": "lost", "über uns.html": "wir"})
    project = user.project(code)
    host = f"{project['slug']}.localhost"
    done = user.ended(user.deploy(project))
    assert done["status"] == "success", user.log(done)
    page = platform.visit(host)
    assert "Bonjour" in page.text and page.headers["cache-control"]
    assert platform.visit(host, "/nowhere").status_code == 404 and platform.visit(host, "/nowhere").text == "lost"
    assert platform.visit(host, "/%C3%BCber%20uns").text == "wir"
    labels = {"label": f"devflow.project={project['id']}"}
    assert docker.from_env().api.containers(all=True, filters=labels) == []


def test_one_deployment_at_a_time_unless_forced(user: User, repository: Callable[..., Repository]) -> None:
    code = repository("slow", {**python_app("slow"), "Dockerfile": _slow(20)})
    project = user.project(code)
    running = user.deploy(project)
    refused = user.call("POST", f"/projects/{project['id']}/deploy", 409)
    assert refused["code"] == "DEPLOYMENT_IN_PROGRESS"
    code.commit({"Dockerfile": _slow(0)}, "Be quick")
    forced = user.ended(user.deploy(project, force=True))
    assert forced["status"] == "success", user.log(forced)
    assert user.deployment(running)["status"] == "cancelled"


def _slow(seconds: int) -> str:
    lines = ["FROM python:3.13-slim", f"RUN sleep {seconds}", "COPY main.py .", "EXPOSE 8000", "ENV PORT=8000"]
    return "\n".join([*lines, 'CMD ["python", "-u", "main.py"]', ""])


def test_secrets_never_reach_a_log(user: User, repository: Callable[..., Repository]) -> None:
    secret = "s3cr3t-Value/with=signs"
    files = python_app("x", before='print("the secret is", os.environ["API_KEY"], flush=True)')
    project = user.project(repository("leaky", files), environment_variables={"API_KEY": secret})
    done = user.ended(user.deploy(project))
    text = user.log(done)
    assert done["status"] == "success" and "the secret is" in text
    assert secret not in text
