"""Twenty switches under load: what fails, and what a visitor waits meanwhile."""

from __future__ import annotations

from pathlib import Path

from tests.bench.load import Load
from tests.bench.table import Figure, percentile
from tests.journeys.platform import Platform, Repository, python_app

SWITCHES = 20
CLIENTS = 8
QUIET = 10.0
"""Seconds of load without a switch, as the reference."""


def run(folder: Path) -> list[Figure]:
    platform = Platform(folder / "platform").start()
    try:
        user = platform.user()
        repository = Repository(folder / "app")
        repository.commit(python_app("one"))
        project = user.project(str(repository), name="switching")
        kept = [user.ended(user.deploy(project))["id"]]
        repository.commit(python_app("two"))
        kept.append(user.ended(user.deploy(project))["id"])
        headers = {"Host": f"switching.localhost:{platform.http_port}"}
        quiet = Load(platform.http_port, "/", headers, CLIENTS).run(QUIET)
        load = Load(platform.http_port, "/", headers, CLIENTS).start()
        serving = kept[1]
        for number in range(SWITCHES):
            back = user.call("POST", f"/projects/{project['id']}/rollback", target_deployment_id=kept[0])
            ended = user.ended({"id": back["rollback_deployment_id"]})
            assert ended["status"] == "success", (number, ended)
            kept, serving = [serving, *kept[1:]], ended["id"]
        load.stop()
    finally:
        platform.remove()
    return _figures(load, quiet)


def _figures(load: Load, quiet: Load) -> list[Figure]:
    asked = len(load.seconds) + len(load.failures)
    return [
        Figure(
            f"failed requests over {SWITCHES} switches", len(load.failures), "", len(quiet.failures), 0,
            f"the same load without a switch; {asked:,} requests",
        ),
        Figure(
            f"answer through the edge during {SWITCHES} switches, p95", percentile(load.seconds, 95) * 1000, "ms",
            percentile(quiet.seconds, 95) * 1000, None, "the same load without a switch",
        ),
    ]  # fmt: skip
