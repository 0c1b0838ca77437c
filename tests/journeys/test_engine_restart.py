"""The Docker engine is stopped and started again: what was live is live again, what was under way ends well."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import docker
import httpx
import pytest

from tests.journeys.platform import Platform, Repository, python_app, wait_for
from tests.journeys.second_engine import SecondEngine

pytestmark = pytest.mark.slow
DOCKERFILE = "FROM python:3.13-slim\nCOPY main.py .\nENV PORT=8000\nEXPOSE 8000\n"
SERVE = 'CMD ["python", "-u", "main.py"]\n'


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecondEngine]:
    second = SecondEngine(tmp_path_factory.mktemp("second") / "engine")
    second.start()
    second.copy("python:3.13-slim")
    yield second
    second.remove()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, engine: SecondEngine) -> Iterator[Platform]:
    """A platform whose apps live on the second engine."""
    running = Platform(tmp_path_factory.mktemp("elsewhere"), {"DOCKER_HOST": engine.host}).start()
    yield running
    running.remove()


def test_the_engine_is_stopped_and_started_again(platform: Platform, engine: SecondEngine, tmp_path: Path) -> None:
    user = platform.user()
    code = Repository(tmp_path / "app")
    code.commit({**python_app("good"), "Dockerfile": DOCKERFILE + SERVE})
    project = user.project(code.folder)
    first = user.ended(user.deploy(project))
    assert first["status"] == "success", user.log(first)
    host = f"{project['slug']}.localhost"

    slow = f"RUN echo {time.time_ns()} && echo begun-$((1 + 1)) && sleep 5\n"
    code.commit({**python_app("better"), "Dockerfile": f"{DOCKERFILE}{slow}{SERVE}"})
    second = user.deploy(project)
    wait_for(lambda: "begun-2" in user.log(second), 60, "the build")
    engine.stop()
    wait_for(lambda: user.deployment(second)["current_step"] == "Trying again soon", 30, "the notice of its absence")
    assert user.deployment(second)["status"] == "building"
    wait_for(lambda: "The Docker engine does not answer" in user.log(second), 10, "the word of it in the log")

    engine.start()
    wait_for(lambda: _text(platform, host) == "good", 30, "the return of what was live")
    done = user.ended(second, 60)
    assert done["status"] == "success", user.log(done)
    assert _text(platform, host) == "better"
    labels = {"label": f"devflow.project={project['id']}"}
    states = {
        row["Labels"]["devflow.deployment"]: row["State"]
        for row in docker.APIClient(base_url=engine.host).containers(all=True, filters=labels)
    }
    assert states[second["id"]] == "running" and set(states) == {first["id"], second["id"]}


def _text(platform: Platform, host: str) -> str:
    try:
        return platform.visit(host, timeout=30).text
    except httpx.TransportError:
        return ""
