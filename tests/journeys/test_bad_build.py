"""Bad days of the build: Dockerfiles, commands and disks that let a deployment down."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.journeys.platform import Platform, Repository, User, wait_for
from tests.journeys.remains import nothing_is_left
from tests.journeys.small_engine import BASE, disk, small_engine
from tests.ports.engine_fixtures import engine_busybox  # noqa: F401

pytestmark = pytest.mark.slow
MB = 1024 * 1024


def page(base: str, text: str, *steps: str) -> str:
    """A Dockerfile of an app that answers with a text; builds and starts within a moment."""
    serve = [f"RUN mkdir /www && echo {text} > /www/index.html", "EXPOSE 8000"]
    return "\n".join([f"FROM {base}", *steps, *serve, 'CMD ["httpd", "-f", "-p", "8000", "-h", "/www"]', ""])


@dataclass(frozen=True)
class Bad:
    """What is committed and set, and what has to be told. `PAGE` stands for a Dockerfile that works."""

    files: dict[str, str]
    cause: str
    says: str
    hint: str
    project: dict[str, Any] = field(default_factory=dict)


def dockerfile(*lines: str, base: str = BASE) -> dict[str, str]:
    return {"Dockerfile": "\n".join([f"FROM {base}", *lines, ""])}


SITE = {"requirements.txt": "", "main.py": "print('a page is made')\n"}
BAD = {
    "syntax error": Bad(
        dockerfile("RUNN echo hello"), "dockerfile_invalid", "Line 2 of the Dockerfile cannot be read", "Fix the Docker"
    ),
    "no FROM": Bad({"Dockerfile": "RUN true\n"}, "manifest_invalid", "Dockerfile cannot be read: it has no", "Correct"),
    "failing step": Bad(
        dockerfile("RUN echo so far so good; exit 3"), "build_failed", "exit code 3", "lines above it in the log"
    ),
    "missing file": Bad(dockerfile("COPY shop.conf /etc/"), "build_failed", "needs 'shop.conf'", "Add the file"),
    "unknown base image": Bad(
        {"Dockerfile": "FROM nowhere.invalid/base:9\n"}, "image_not_found", "nowhere.invalid/base:9", "in FROM"
    ),
    "unknown stage": Bad(dockerfile("COPY --from=assets /x /x"), "image_not_found", "assets", "in FROM"),
    "no such Dockerfile": Bad(
        dockerfile(), "dockerfile_missing", "There is no ops/Dockerfile", "Commit it", {"dockerfile": "ops/Dockerfile"}
    ),
    "release command": Bad(
        {"Dockerfile": "PAGE", "Procfile": "release: echo migrating; exit 7\n"},
        "release_failed", "The release command ended with exit code 7", "Traffic stays",
    ),
    "output empty": Bad(
        SITE, "output_empty", "left nothing in site", "output directory",
        {"output_dir": "site", "build_command": "mkdir site"},
    ),
    "output missing": Bad(
        SITE, "output_missing", "site", "output directory", {"output_dir": "site", "build_command": "python main.py"}
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def serving(
    platform: Platform, tmp_path_factory: pytest.TempPathFactory, engine_busybox: str  # noqa: F811
) -> tuple[User, dict[str, Any], Repository]:  # fmt: skip
    """A project with a version that serves; each case commits something that cannot be built."""
    code = Repository(tmp_path_factory.mktemp("code") / "bad-build")
    code.commit({"Dockerfile": page(engine_busybox, "good")})
    user = platform.user("Serving")
    project = user.project(code)
    first = user.ended(user.deploy(project))
    assert first["status"] == "success", user.log(first)
    return user, project, code


@pytest.mark.parametrize("case", BAD)
def test_a_bad_build_fails_with_its_cause_and_the_old_version_serves(
    case: str,
    platform: Platform,
    serving: tuple[User, dict[str, Any], Repository],
    engine_busybox: str,  # noqa: F811
) -> None:
    bad, (user, project, code) = BAD[case], serving
    for old in code.folder.iterdir():
        if old.is_file():
            old.unlink()
    good = page(engine_busybox, "better")
    files = {name: text.replace(BASE, engine_busybox).replace("PAGE", good) for name, text in bad.files.items()}
    code.commit(files)
    plain = {"dockerfile": "", "output_dir": "", "build_command": ""}
    user.call("PUT", f"/projects/{project['id']}", **{**plain, **bad.project})
    failed = user.ended(user.deploy(project))
    told(user, failed, bad.cause, bad.says, bad.hint)
    assert platform.visit(f"{project['slug']}.localhost").text == "good\n"
    nothing_is_left(platform, failed)


def told(user: User, failed: dict[str, Any], cause: str, says: str, hint: str = "") -> None:
    """The record, its stages and its log tell the same, true story, without our own doings or folders."""
    log = user.log(failed)
    assert (failed["status"], failed["error_cause"]) == ("failed", cause), log
    assert says in failed["error_message"] and failed["error_message"].endswith("."), failed["error_message"]
    assert hint in failed["error_hint"], failed["error_hint"]
    assert failed["error_message"] in log and "/run/secrets/env" not in failed["error_message"]
    assert str(user.platform.folder) not in f"{log}{failed['error_message']}", "a folder of the server is told"
    states = [stage["status"] for stage in failed["stages"]]
    assert "failed" in states and "in_progress" not in states, states


def test_values_of_variables_are_in_no_layer_no_history_and_no_log(
    platform: Platform, user: User, repository: Callable[..., Repository]
) -> None:
    secret = "correct-horse-battery-staple"
    files = {
        "requirements.txt": "",
        "main.py": "import http.server, os\nassert os.environ['API_KEY']\nprint('key', os.environ['API_KEY'])\n"
        "http.server.ThreadingHTTPServer(('', int(os.environ['PORT'])), http.server.SimpleHTTPRequestHandler)"
        ".serve_forever()\n",
        "Procfile": "web: python -u main.py\n",
    }
    project = user.project(
        repository("keeper", files),
        environment_variables={"API_KEY": secret},
        build_command=f'test "$(printf %s "$API_KEY" | wc -c)" = {len(secret)} && echo built with "$API_KEY"',
    )
    done = user.ended(user.deploy(project))
    log = user.log(done)
    assert done["status"] == "success" and "built with ***" in log and "key ***" in log, log
    assert secret not in log and secret not in str(done)
    with closing(docker.from_env()) as engine:
        mine = engine.images.list(filters={"label": f"devflow.deployment={done['id']}"})
        assert len(mine) == 1
        assert secret not in str(mine[0].history()) and secret not in str(mine[0].attrs)
        assert not any(secret.encode() in part for part in _windows(mine[0].save()))


def _windows(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks, each with the end of the one before, so that nothing hides at a seam."""
    before = b""
    for chunk in chunks:
        yield before + chunk
        before = chunk[-64:]


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform of one build slot and short builds, with an engine of its own, all on disks of a few megabytes."""
    folder = tmp_path_factory.mktemp("narrow")
    limits = {"BUILD_CONCURRENCY": "1", "BUILD_TIMEOUT": "12000", "MIN_FREE_DISK": "4"}
    with (
        small_engine(folder, 64) as host,
        disk(folder / "data" / "builds", 24),
        disk(folder / "data" / "static", 3),
    ):
        platform = Platform(folder / "data", {**limits, "DOCKER_HOST": host}).start()
        platform.user("Administrator")
        yield platform
        platform.remove()


def test_a_build_that_prints_200_000_lines_is_kept_line_by_line(
    narrow: Platform, repository: Callable[..., Repository]
) -> None:
    user = narrow.user()
    project = user.project(repository("loud", dockerfile("RUN seq 1 200000; exit 9")))
    failed = user.ended(user.deploy(project), 60)
    told(user, failed, "build_failed", "`seq 1 200000; exit 9` ended with exit code 9.", "lines above")
    lines = [line.partition("] ")[2] for line in user.log(failed).splitlines()]
    assert [int(line) for line in lines if line.isdecimal()] == list(range(1, 200_001))
    assert failed["duration_seconds"] < 60
    nothing_is_left(narrow, failed)


def test_a_silent_build_that_is_cancelled_frees_its_slot_at_once(
    narrow: Platform, repository: Callable[..., Repository]
) -> None:
    user = narrow.user()
    silent = user.project(repository("silent", dockerfile("RUN sleep 601")))
    waiting = user.project(repository("waiting", dockerfile("RUN exit 5")))
    running = user.deploy(silent)
    wait_for(lambda: _processes("sleep 601"), 20, "the silent step")
    queued = user.deploy(waiting)
    shown = user.deployment(queued)
    assert (shown["status"], shown["queue_position"]) == ("queued", 1)
    asked = time.monotonic()
    user.call("POST", f"/deployments/{running['id']}/cancel")
    wait_for(lambda: user.deployment(queued)["started_at"], 10, "the start of the next build")
    seconds = time.monotonic() - asked
    assert seconds < 2, f"the slot was free after {seconds:.1f} s"
    cancelled = user.deployment(running)
    assert (cancelled["status"], cancelled["error_cause"]) == ("cancelled", "cancelled")
    assert cancelled["current_step"] == "Cancelled" and "Cancelled by" in cancelled["error_message"]
    told(user, user.ended(queued), "build_failed", "exit code 5")
    nothing_is_left(narrow, cancelled)
    wait_for(lambda: not _processes("sleep 601"), 10, "the end of the cancelled step")


def _processes(command: str) -> list[str]:
    listed = subprocess.run(("ps", "-eo", "args"), capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line == command]


def test_a_build_that_never_ends_is_stopped_at_its_limit(
    narrow: Platform, repository: Callable[..., Repository]
) -> None:
    user = narrow.user()
    project = user.project(repository("endless", dockerfile("RUN while true; do echo still here; sleep 1; done")))
    failed = user.ended(user.deploy(project), 40)
    told(user, failed, "build_timeout", "The build took longer than 12 s and was stopped.", "time limit")
    nothing_is_left(narrow, failed)


def test_full_disks_are_named_and_left_as_they_were(narrow: Platform, repository: Callable[..., Repository]) -> None:
    user = narrow.user()
    code = repository("disk", {"index.html": "still here"})
    project = user.project(code)
    first = user.ended(user.deploy(project))
    assert first["status"] == "success", user.log(first)
    with ballast(narrow.folder / "builds", leave=2):
        refused = user.ended(user.deploy(project))
    told(user, refused, "disk_full", "MB of disk are free on the server; a build needs 4 MB", "Delete old")
    code.commit({"large.bin": b"\1" * (30 * MB)})
    cloned = user.ended(user.deploy(project))
    told(user, cloned, "disk_full", "The disk of this server is full.", "free space")
    code.commit({"large.bin": b"\1" * (4 * MB)})
    site = user.ended(user.deploy(project))
    told(user, site, "disk_full", "The disk of this server is full.", "more space")
    code.commit(dockerfile("RUN dd if=/dev/zero of=/large bs=1M count=90"))
    built = user.ended(user.deploy(project))
    told(user, built, "disk_full", "The disk of the Docker engine is full.", "build cache")
    for failed in (refused, cloned, site, built):
        nothing_is_left(narrow, failed)
    assert narrow.visit(f"{project['slug']}.localhost").text == "still here"
    for name in ("Dockerfile", "large.bin"):
        (code.folder / name).unlink()
    code.commit({"index.html": "room again"})
    last = user.ended(user.deploy(project))
    assert last["status"] == "success", user.log(last)
    assert narrow.visit(f"{project['slug']}.localhost").text == "room again"


@contextmanager
def ballast(folder: Path, leave: int) -> Iterator[None]:
    """Fill the disk of a folder until so many megabytes are left."""
    stone = folder / "ballast"
    with stone.open("wb") as file:
        file.write(bytes(max(0, shutil.disk_usage(folder).free - leave * MB)))
    yield
    stone.unlink(missing_ok=True)  # the housekeeping may have been faster: it belongs to no deployment


def test_a_site_that_is_too_large_is_refused(
    platform: Platform, user: User, repository: Callable[..., Repository]
) -> None:
    limit = int(platform.variables["MAX_BUILD_SIZE"])
    code = repository("wide", {"index.html": "small"})
    project = user.project(code)
    assert user.ended(user.deploy(project))["status"] == "success"
    code.commit({"film.bin": "x" * ((limit + 1) * MB)})
    plain = user.ended(user.deploy(project))
    told(user, plain, "output_too_large", f"The site is {limit + 1} MB; at most {limit} MB", "MAX_BUILD_SIZE")
    code.commit({"film.bin": "", "requirements.txt": ""})
    make = f"mkdir site && head -c {(limit + 3) * MB} /dev/zero > site/film.bin && touch site/index.html"
    user.call("PUT", f"/projects/{project['id']}", framework="python", output_dir="site", build_command=make)
    built = user.ended(user.deploy(project))
    told(user, built, "output_too_large", f"The site is {limit + 3} MB; at most {limit} MB", "MAX_BUILD_SIZE")
    for failed in (plain, built):
        nothing_is_left(platform, failed)
    assert platform.visit(f"{project['slug']}.localhost").text == "small"
