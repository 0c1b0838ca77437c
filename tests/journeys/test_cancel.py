"""Cancelling at every stage: the slot is free within 2 s, nothing is left, and the version before goes on serving."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.journeys.platform import Platform, Repository, User, python_app, wait_for
from tests.journeys.remains import nothing_is_left, remains

pytestmark = pytest.mark.slow
FREE_WITHIN = 2.0
"""Seconds from the answer to the cancel until the worker has let go."""
SLEEPS = "import time; time.sleep(600)"
HANGS = '__import__("time").sleep(600)'
BASE = "FROM python:3.13-slim\nWORKDIR /app\nCOPY . .\nENV PORT=8000\nEXPOSE 8000\n"
SERVE = 'CMD ["python", "-u", "main.py"]\n'


def let_go(platform: Platform, deployment: Mapping[str, Any]) -> bool:
    """Has the worker ended the job, so that its slot is free?"""
    return not any(left.startswith("job deployments.run") for left in remains(platform, deployment))


class Project:
    """A project of one story, with a first version that serves if it is asked for."""

    def __init__(self, platform: Platform, user: User, code: Repository) -> None:
        self.platform, self.user, self.code = platform, user, code
        self.data = user.project(code.folder)
        self.first = user.ended(user.deploy(self.data))
        assert self.first["status"] == "success", user.log(self.first)

    def begin(self, files: Mapping[str, str], step: str) -> dict[str, Any]:
        """Deploy these files and wait until that step works."""
        self.code.commit(files, "Change")
        deployment = self.user.deploy(self.data)
        wait_for(lambda: self.at(deployment, step), 60, f"the step {step}")
        return deployment

    def at(self, deployment: Mapping[str, Any], step: str) -> bool:
        found = self.user.deployment(deployment)
        assert found["status"] in ("queued", "building", "deploying"), self.user.log(found)
        return bool(found["current_step"].lower().startswith(step.lower()))

    def cancel(self, deployment: Mapping[str, Any]) -> None:
        """Cancel, see the slot free in time, and the good version untouched."""
        self.user.call("POST", f"/deployments/{deployment['id']}/cancel")
        began = time.monotonic()
        wait_for(lambda: self.let_go(deployment), 20, "the end of the job")
        took = time.monotonic() - began
        assert took < FREE_WITHIN, f"the slot was free after {took:.1f} s"
        found = self.user.deployment(deployment)
        assert found["status"] == "cancelled" and found["error_cause"] == "cancelled"
        assert "Cancelled by" in found["error_message"] and not found["live"]
        self.goes_on()
        nothing_is_left(self.platform, deployment)

    def let_go(self, deployment: Mapping[str, Any]) -> bool:
        return let_go(self.platform, deployment)

    def goes_on(self) -> None:
        assert self.platform.visit(f"{self.data['slug']}.localhost").text == "good"
        assert self.user.deployment(self.first)["live"]


@pytest.fixture(scope="module")
def project(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One project for all stories: each leaves it as it found it."""
    code = Repository(tmp_path_factory.mktemp("code") / "app")
    code.commit(python_app("good"))
    return Project(platform, platform.user(), code)


def test_cancel_while_it_builds(project: Project) -> None:
    slow = {**python_app("bad"), "Dockerfile": f"{BASE}RUN echo begun && sleep 600\n{SERVE}"}
    deployment = project.begin(slow, "Building: [")
    wait_for(lambda: "begun" in project.user.log(deployment), 60, "the slow step")
    project.cancel(deployment)
    assert project.user.call("POST", f"/deployments/{deployment['id']}/cancel", 409)["code"] == "INVALID_STATE"
    project.code.folder.joinpath("Dockerfile").unlink()


def test_cancel_while_the_release_command_runs(project: Project) -> None:
    files = {**python_app("bad"), "Procfile": "web: python -u main.py\nrelease: sleep 600\n"}
    project.cancel(project.begin(files, "Running"))


def test_cancel_while_it_starts(project: Project) -> None:
    project.cancel(project.begin(python_app("bad", before=SLEEPS), "Waiting until"))


def test_cancel_while_the_app_holds_the_health_check(project: Project) -> None:
    deployment = project.begin(python_app("bad", body=HANGS), "Waiting until")
    project.cancel(deployment)


def test_cancel_while_the_edge_is_asked(project: Project) -> None:
    """The app answers the check, which comes from the engine's side, and hangs when the edge asks."""
    body = '__import__("time").sleep(600) if "X-Forwarded-For" in self.headers else b"bad"'
    project.cancel(project.begin(python_app("bad", body=f"({body})"), "Switching"))


class _Tarpit(http.server.BaseHTTPRequestHandler):
    """A git server that takes the question and never answers."""

    asked = threading.Event()
    released = threading.Event()

    def do_GET(self) -> None:
        self.asked.set()
        self.released.wait(60)

    def log_message(self, *words: Any) -> None:
        pass


@pytest.fixture
def tarpit() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Tarpit)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/app.git"
    _Tarpit.released.set()
    server.shutdown()
    server.server_close()


def test_cancel_while_it_clones(platform: Platform, tarpit: str) -> None:
    user = platform.user()
    made = user.project(tarpit)
    deployment = user.deploy(made)
    assert _Tarpit.asked.wait(30)
    user.call("POST", f"/deployments/{deployment['id']}/cancel")
    began = time.monotonic()
    wait_for(lambda: let_go(platform, deployment), 20, "the end of the job")
    assert time.monotonic() - began < FREE_WITHIN
    assert user.deployment(deployment)["status"] == "cancelled"
    nothing_is_left(platform, deployment)


def test_cancel_while_it_waits_for_a_slot(
    platform: Platform, project: Project, repository: Callable[..., Repository]
) -> None:
    """Both slots are taken; the third never begins, and the first slot that is freed serves the fourth."""
    user, slow = platform.user(), {**python_app("slow"), "Dockerfile": f"{BASE}RUN sleep 600\n{SERVE}"}
    holders = [user.deploy(user.project(repository(f"holder-{n}", slow).folder)) for n in range(2)]
    wait_for(lambda: all(_builds(user, holder) for holder in holders), 60, "both builds")
    waiting = user.deploy(user.project(repository("waiting", python_app("never")).folder))
    assert user.deployment(waiting)["status"] == "queued" and user.deployment(waiting)["queue_position"] == 1
    user.call("POST", f"/deployments/{waiting['id']}/cancel")
    assert user.deployment(waiting)["status"] == "cancelled" and user.log(waiting) == ""

    fourth = project.user.deploy(project.data)
    user.call("POST", f"/deployments/{holders[0]['id']}/cancel")
    began = time.monotonic()
    wait_for(lambda: project.user.deployment(fourth)["status"] != "queued", 20, "the fourth's start")
    assert time.monotonic() - began < FREE_WITHIN
    project.user.call("POST", f"/deployments/{fourth['id']}/cancel")
    user.call("POST", f"/deployments/{holders[1]['id']}/cancel")
    for over in (*holders, waiting):
        nothing_is_left(platform, over)
    project.goes_on()


def _builds(user: User, deployment: Mapping[str, Any]) -> bool:
    return bool(user.deployment(deployment)["current_step"].startswith("Building: ["))


def test_cancelling_what_is_over_is_refused(project: Project) -> None:
    refused = project.user.call("POST", f"/deployments/{project.first['id']}/cancel", 409)
    assert refused["code"] == "INVALID_STATE" and "over already" in refused["message"]


def test_two_people_deploy_at_once(platform: Platform, user: User, repository: Callable[..., Repository]) -> None:
    slow = {**python_app("slow"), "Dockerfile": f"{BASE}RUN sleep 600\n{SERVE}"}
    made = user.project(repository("together", slow).folder)
    gate = threading.Barrier(8)

    def press() -> httpx.Response:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{platform.port}", headers=user.http.headers, timeout=60
        ) as client:
            gate.wait()
            return client.post(f"/api/v1/projects/{made['id']}/deploy", json={})

    with ThreadPoolExecutor(8) as pool:
        answers = [future.result() for future in [pool.submit(press) for _ in range(8)]]
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7, [a.text for a in answers]
    begun = next(answer.json()["data"] for answer in answers if answer.status_code == 201)
    refused = next(answer.json()["error"] for answer in answers if answer.status_code == 409)
    assert refused["code"] == "DEPLOYMENT_IN_PROGRESS"

    forced = user.deploy(made, force=True)
    assert user.deployment(begun)["status"] == "cancelled"
    assert "Replaced by a newer deployment" in user.deployment(begun)["error_message"]
    user.call("POST", f"/deployments/{forced['id']}/cancel")
    nothing_is_left(platform, begun)
    nothing_is_left(platform, forced)
