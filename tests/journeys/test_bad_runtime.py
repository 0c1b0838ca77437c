"""Apps that misbehave: each deployment ends with a cause a person understands, the version before goes on serving."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import docker
import pytest

from tests.journeys.platform import Platform, Repository, User, python_app, wait_for
from tests.journeys.remains import nothing_is_left

pytestmark = pytest.mark.slow
CRASH = """
import threading

def fall():
    print("the lamp went out", flush=True)
    os._exit(3)

threading.Timer({seconds}, fall).start()
"""
HUNGRY = "hoard = bytearray(600 * 1024 * 1024)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
TALKATIVE = """
import threading
def talk():
    while True:
        print("blah " * 20)
threading.Thread(target=talk, daemon=True).start()
"""


@pytest.fixture(scope="module")
def grown(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Grown:
    """A project whose first version serves."""
    code = Repository(tmp_path_factory.mktemp("code") / "app")
    code.commit(python_app("good"))
    return Grown(platform, platform.user(), code)


class Grown:
    def __init__(self, platform: Platform, user: User, code: Repository) -> None:
        self.platform, self.user, self.code = platform, user, code
        self.project = user.project(code.folder)
        self.first = user.ended(user.deploy(self.project))
        assert self.first["status"] == "success", user.log(self.first)

    @property
    def text(self) -> str:
        return self.platform.visit(f"{self.project['slug']}.localhost").text

    def deploy(self, files: Mapping[str, str]) -> dict[str, Any]:
        self.code.commit(files, "Change")
        return self.user.ended(self.user.deploy(self.project))

    def containers(self) -> dict[str, str]:
        """Deployment id to state, of every container of the project."""
        found = docker.from_env().api.containers(all=True, filters={"label": f"devflow.project={self.project['id']}"})
        return {row["Labels"]["devflow.deployment"]: row["State"] for row in found}

    def stays(self, failed: Mapping[str, Any]) -> None:
        """The good version serves, and of the failed one nothing is left."""
        assert self.text == "good" and self.user.deployment(self.first)["live"]
        nothing_is_left(self.platform, failed)
        assert self.containers() == {self.first["id"]: "running"}


@pytest.mark.parametrize(
    ("files", "cause", "words"),
    [
        pytest.param(python_app("bad", port="4321"), "wrong_port", ("4321", "8000"), id="another-port"),
        pytest.param(
            python_app("bad", address='"127.0.0.1"'), "loopback_only", ("127.0.0.1", "0.0.0.0"), id="loopback"
        ),
        pytest.param(python_app("bad", status="500"), "unhealthy_status", ("GET / answered 500",), id="answers-500"),
        pytest.param(
            python_app("bad", before='raise SystemExit("no lamp oil")'), "crash_loop", ("exit code 1",), id="crashes"
        ),
        pytest.param(python_app("bad", before=HUNGRY), "out_of_memory", ("512 MB",), id="out-of-memory"),
        pytest.param(
            python_app("bad", before="import time; time.sleep(600)"), "not_listening", ("no port",), id="never-listens"
        ),
        pytest.param(
            python_app("bad", body='__import__("time").sleep(600)'),
            "timeout",
            ("did not answer",),
            id="hangs",
        ),
    ],
)
def test_a_version_that_does_not_come_up(
    grown: Grown, files: dict[str, str], cause: str, words: tuple[str, ...]
) -> None:
    failed = grown.deploy(files)
    said = f"{failed['error_message']} {failed['error_hint']}"
    log = grown.user.log(failed)
    assert (failed["status"], failed["error_cause"]) == ("failed", cause), log
    assert all(word in said for word in words), said
    assert failed["error_message"] in log and failed["error_hint"] in log
    assert cause != "crash_loop" or "no lamp oil" in log
    grown.stays(failed)


def test_a_version_that_crashes_soon_after_its_release_makes_way(grown: Grown) -> None:
    released = grown.deploy(python_app("fragile", before=CRASH.format(seconds=4)))
    assert released["status"] == "success", grown.user.log(released)
    assert grown.text == "fragile"

    failed = wait_for(lambda: _failed(grown.user, released), 20, "the return of the version before")
    assert failed["error_cause"] == "crash_loop" and "exit code 3" in failed["error_message"]
    assert f"#{grown.first['number']} serves again" in failed["error_message"]
    log = grown.user.log(failed)
    assert "the lamp went out" in log and failed["error_message"] in log
    grown.stays(failed)


def _failed(user: User, deployment: Mapping[str, Any]) -> dict[str, Any] | None:
    found = user.deployment(deployment)
    return found if found["status"] == "failed" else None


def test_a_first_version_that_keeps_crashing_is_not_called_live(
    platform: Platform, user: User, repository: Callable[..., Repository]
) -> None:
    code = repository("app", python_app("fragile", before=CRASH.format(seconds=1.2)))
    project = user.project(code.folder)
    released = user.ended(user.deploy(project))
    failed = wait_for(lambda: _failed(user, released), 30, "the end of patience with it")
    assert failed["error_cause"] == "crash_loop" and "no version before it" in failed["error_message"]
    assert not failed["live"] and "the lamp went out" in user.log(failed)
    labels = {"label": f"devflow.project={project['id']}"}
    wait_for(lambda: not docker.from_env().api.containers(all=True, filters=labels), 15, "its removal")
    host = f"{project['slug']}.localhost"
    wait_for(lambda: platform.visit(host).status_code in (404, 503), 10, "a page that says so")


def test_an_app_that_is_deaf_to_sigterm_is_stopped_within_its_grace(grown: Grown) -> None:
    deaf = grown.deploy(python_app("deaf", before=DEAF))
    assert deaf["status"] == "success" and grown.text == "deaf"
    began = time.monotonic()
    next_one = grown.deploy(python_app("next"))
    assert next_one["status"] == "success" and grown.text == "next"
    wait_for(lambda: grown.containers().get(deaf["id"]) == "exited", 20, "the end of the deaf version")
    assert time.monotonic() - began < 15
    wait_for(lambda: grown.containers() == {deaf["id"]: "exited", next_one["id"]: "running"}, 15, "the clearing")


def test_an_app_that_prints_forever_is_released_and_its_log_stays_small(grown: Grown) -> None:
    talking = grown.deploy(python_app("talking", before=TALKATIVE))
    assert talking["status"] == "success" and grown.text == "talking"
    lines = grown.user.log(talking).splitlines()
    assert sum("blah" in line for line in lines) <= 2000
    worker = grown.platform.child("worker")

    def calm() -> bool:
        return worker.cpu_percent(0.5) < 50  # nobody reads what it prints any more

    wait_for(calm, 20, "a calm worker")
    last = grown.deploy(python_app("quiet"))
    assert last["status"] == "success" and grown.text == "quiet"
