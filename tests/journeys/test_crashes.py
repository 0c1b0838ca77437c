"""Things die: the worker at every stage, web, edge, the whole platform, containers. Each time the truth comes back."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from tests.journeys.platform import Platform, Repository, User, python_app, wait_for
from tests.journeys.remains import nothing_is_left, remains
from tests.ports import git_fixtures
from tests.ports.git_fixtures import GitServer, Repo

pytestmark = pytest.mark.slow
TRUE_WITHIN = 30.0
"""Seconds after a worker's death in which every deployment is in a true state again."""
DOCKERFILE = "FROM python:3.13-slim\nWORKDIR /app\nCOPY . .\nENV PORT=8000\nEXPOSE 8000\n"
SERVE = 'CMD ["python", "-u", "main.py"]\n'
RELEASE = {"Procfile": "web: python -u main.py\nrelease: sleep 3\n"}
SLOW_AT_THE_EDGE = '(__import__("time").sleep(2.5 * ("X-Forwarded-For" in self.headers)), b"better")[1]'


class Project:
    """A project of one story; `text` is what its site says."""

    def __init__(self, platform: Platform, user: User, code: Repository | str) -> None:
        self.platform, self.user, self.code = platform, user, code
        self.data = user.project(code.folder if isinstance(code, Repository) else code)
        self.host = f"{self.data['slug']}.localhost"

    @property
    def text(self) -> str:
        return self.platform.visit(self.host).text

    def deploy(self) -> Project:
        """Its first version."""
        self.first = self.user.ended(self.user.deploy(self.data))
        assert self.first["status"] == "success", self.user.log(self.first)
        return self

    def change(self, files: Mapping[str, str], step: str) -> dict[str, Any]:
        """Deploy these files and wait until that step works."""
        assert isinstance(self.code, Repository)
        self.code.commit(files, "Change")
        deployment = self.user.deploy(self.data)
        self.reach(deployment, step)
        return deployment

    def reach(self, deployment: Mapping[str, Any], step: str, seconds: float = 60) -> None:
        def there() -> bool:
            found = self.user.deployment(deployment)
            assert found["status"] in ("queued", "building", "deploying"), self.user.log(found)
            return bool(found["current_step"].lower().startswith(step.lower()))

        wait_for(there, seconds, f"the step {step}")

    def containers(self) -> dict[str, str]:
        """State of every container of the project, by `<deployment id> <attempt>`."""
        found = docker.from_env().api.containers(all=True, filters={"label": f"devflow.project={self.data['id']}"})
        mine = [(row["Labels"], row["State"]) for row in found]
        return {f"{labels['devflow.deployment']} {labels['devflow.attempt']}": state for labels, state in mine}

    def settles(self, expected: Mapping[str, str]) -> None:
        """Exactly these containers are left after a while."""
        try:
            wait_for(lambda: self.containers() == expected, 20)
        except AssertionError:
            assert self.containers() == expected

    def container(self) -> Any:
        """The one that runs."""
        return docker.from_env().containers.list(filters={"label": f"devflow.project={self.data['id']}"})[0]


@pytest.fixture(scope="module")
def project(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Project:
    code = Repository(tmp_path_factory.mktemp("code") / "app")
    code.commit(python_app("good"))
    return Project(platform, platform.user(), code).deploy()


def _build(seconds: float) -> dict[str, str]:
    """Files whose build takes that long, each time anew."""
    step = f"RUN echo {time.time_ns()} && sleep {seconds}\n"
    return {**python_app("better"), "Dockerfile": f"{DOCKERFILE}{step}{SERVE}"}


@pytest.mark.parametrize(
    ("files", "step"),
    [
        pytest.param(_build(3), "Building: [", id="build"),
        pytest.param(
            {**python_app("better"), "Procfile": "web: python -u main.py\nrelease: sleep 3\n"}, "Running", id="release"
        ),
        pytest.param(python_app("better", before="import time; time.sleep(3)"), "Waiting until", id="check"),
        pytest.param(python_app("better", body=SLOW_AT_THE_EDGE), "Switching", id="switch"),
    ],
)
def test_the_worker_is_killed(
    platform: Platform, user: User, repository: Callable[..., Repository], files: dict[str, str], step: str
) -> None:
    project = Project(platform, user, repository("app", python_app("good"))).deploy()
    deployment = project.change(files, step)
    platform.kill("worker")
    killed = time.monotonic()
    assert project.text in ("good", "better")
    done = user.ended(deployment, TRUE_WITHIN)
    assert time.monotonic() - killed < TRUE_WITHIN
    log = user.log(done)
    assert done["status"] == "success" and project.text == "better", log
    assert "The worker was lost. Starting over, attempt 2." in log
    project.settles({f"{project.first['id']} 1": "exited", f"{done['id']} 2": "running"})
    assert not [left for left in remains(platform, done) if left.startswith(("job", "folder"))]


class _HoldsTheFirst(git_fixtures._Handler):
    """Answers the first clone only when it is told to."""

    asked, go_on = threading.Event(), threading.Event()

    def do_GET(self) -> None:
        first = not self.asked.is_set()
        self.asked.set()
        if first:
            self.go_on.wait(60)
        super().do_GET()


@pytest.fixture
def held_git(tmp_path: Path) -> Iterator[GitServer]:
    server = GitServer(tmp_path)
    server.RequestHandlerClass = _HoldsTheFirst
    yield server
    _HoldsTheFirst.go_on.set()
    server.stop()


def test_the_worker_is_killed_while_it_clones(platform: Platform, user: User, held_git: GitServer) -> None:
    Repo(held_git.root, "app").commit(python_app("good"))
    project = Project(platform, user, f"{held_git.url}/app.git")
    deployment = user.deploy(project.data)
    assert _HoldsTheFirst.asked.wait(30)
    platform.kill("worker")
    done = user.ended(deployment, TRUE_WITHIN)
    assert done["status"] == "success" and project.text == "good", user.log(done)
    assert "attempt 2" in user.log(done)
    wait_for(lambda: not list((platform.folder / "builds").iterdir()), 30, "the removal of the dead worker's checkout")


def test_a_deployment_whose_workers_die_each_time_is_given_up(
    platform: Platform, user: User, repository: Callable[..., Repository]
) -> None:
    project = Project(platform, user, repository("app", python_app("good"))).deploy()
    deployment = project.change(python_app("bad", before="import time; time.sleep(600)"), "Waiting until")
    for attempt in (2, 3):
        platform.kill("worker")
        wait_for(partial(_says, user, deployment, f"attempt {attempt}."), 40, "the next attempt")
        project.reach(deployment, "Waiting until")
    platform.kill("worker")
    failed = user.ended(deployment, 40)
    assert (failed["status"], failed["error_cause"]) == ("failed", "worker_lost")
    assert "again and again" in failed["error_message"] and failed["error_hint"]
    assert project.text == "good" and user.deployment(project.first)["live"]
    nothing_is_left(platform, failed)


def _says(user: User, deployment: Mapping[str, Any], words: str) -> bool:
    return words in user.log(deployment)


def test_cancelling_while_the_worker_is_dead(platform: Platform, project: Project) -> None:
    deployment = project.change(python_app("bad", before="import time; time.sleep(600)"), "Waiting until")
    platform.kill("worker")
    project.user.call("POST", f"/deployments/{deployment['id']}/cancel")
    assert project.user.deployment(deployment)["status"] == "cancelled"
    nothing_is_left(platform, deployment, TRUE_WITHIN)
    assert project.text == "good"


def test_web_comes_back(platform: Platform, project: Project) -> None:
    platform.kill("web")
    assert project.text == "good"

    def answers() -> bool:
        try:
            return project.user.http.get("/api/v1/projects").status_code == 200
        except httpx.TransportError:
            return False

    wait_for(answers, 60, "web's return")


def test_the_edge_comes_back_with_its_sites(platform: Platform, project: Project) -> None:
    platform.kill("edge")

    def served() -> bool:
        try:
            return project.text == "good"
        except httpx.TransportError:
            return False

    wait_for(served, 30, "the site's return")


def test_a_container_that_was_killed_comes_back_without_a_failed_request(project: Project) -> None:
    project.container().kill()
    answers = [project.platform.visit(project.host, timeout=30) for _ in range(5)]
    assert [answer.text for answer in answers] == ["good"] * 5


def test_a_container_that_was_stopped_by_hand_is_started_again(project: Project) -> None:
    project.container().stop(timeout=0)
    wait_for(lambda: project.text == "good", 20, "the return of the app")


def test_a_container_that_was_removed_by_hand_is_made_again(project: Project) -> None:
    before = project.container()
    before.remove(force=True)
    wait_for(lambda: project.text == "good", 20, "the return of the app")
    assert project.container().id != before.id and project.container().name == before.name


def test_an_address_that_went_to_another_container_gets_no_request(platform: Platform, project: Project) -> None:
    """While nobody watches, the app's container stops, another one takes its address, and it starts with a new one."""
    app = project.container()
    worker = platform.child("worker")
    worker.suspend()
    try:
        address = _address(app)
        app.stop(timeout=0)
        squatter = docker.from_env().containers.run(
            app.image, ["sleep", "600"], detach=True, network=f"devflow-{project.data['id']}"
        )
        try:
            app.start()
            app.reload()
            assert _address(squatter) == address != _address(app)
            worker.resume()
            wait_for(lambda: project.text == "good", 20, "the new address")
            dial = platform.folder / "edge" / "sites" / project.data["id"] / "current" / "dial"
            assert dial.read_text().startswith(_address(app))
        finally:
            squatter.remove(force=True)
    finally:
        worker.resume()


def _address(container: Any) -> str:
    container.reload()
    (network,) = container.attrs["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


def test_the_route_of_an_app_that_died_for_good_is_withdrawn(
    platform: Platform, user: User, repository: Callable[..., Repository]
) -> None:
    project = Project(platform, user, repository("app", python_app("mortal"))).deploy()
    container = project.container()
    docker.from_env().images.remove(container.attrs["Config"]["Image"], force=True)
    container.remove(force=True)
    wait_for(lambda: platform.visit(project.host, timeout=30).status_code == 503, 20, "the withdrawal")
    current = platform.folder / "edge" / "sites" / project.data["id"] / "current"
    assert not (current / "dial").exists(), "no address is left that another container could get"


def test_facts_that_are_delivered_twice_change_nothing(platform: Platform, project: Project) -> None:
    before = project.user.call("GET", f"/projects/{project.data['id']}/deployments")
    store = create_engine(f"sqlite:///{platform.folder / 'devflow.db'}", poolclass=NullPool)
    with store.begin() as connection:
        connection.execute(text("UPDATE outbox SET delivered_at = NULL, due_at = '2000-01-01 00:00:00'"))

    def swept() -> bool:
        with store.connect() as connection:
            waiting = text("SELECT count(*) FROM outbox WHERE delivered_at IS NULL")
            return connection.execute(waiting).scalar() == 0

    wait_for(swept, 40, "the sweep")
    with store.connect() as connection:
        doubled = text("SELECT subject FROM jobs WHERE kind = 'deployments.run' GROUP BY subject HAVING count(*) > 1")
        assert connection.execute(doubled).all() == []
    assert project.user.call("GET", f"/projects/{project.data['id']}/deployments") == before
    assert project.text == "good"


def test_everything_is_killed_and_started_again(platform: Platform, project: Project) -> None:
    deployment = project.change(_build(3), "Building: [")
    assert platform.process is not None
    os.killpg(platform.process.pid, signal.SIGKILL)
    platform.process.wait()
    platform.log.unlink()
    platform.start()
    done = project.user.ended(deployment, 60)
    assert done["status"] == "success" and project.text == "better", project.user.log(done)
    project.settles({f"{project.first['id']} 1": "exited", f"{done['id']} 2": "running"})


def test_a_version_left_behind_that_somebody_starts_is_stopped_again(project: Project) -> None:
    standby = wait_for(
        lambda: next((name for name, state in project.containers().items() if state == "exited"), None),
        30,
        "a stand-by",
    )
    left = f"devflow.deployment={standby.split()[0]}"
    docker.from_env().containers.list(all=True, filters={"label": left})[0].start()
    wait_for(lambda: project.containers()[standby] == "exited", TRUE_WITHIN, "the stop")
    assert project.text == "better"
