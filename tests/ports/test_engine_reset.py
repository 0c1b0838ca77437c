"""`devflow reset` on the real engine: what this installation made goes, what another one made stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from devflow.adapters.docker.client import DockerEngine
from devflow.cli import main
from devflow.core.settings import load
from devflow.features.deployments.rules.plan import INSTALLATION, installation_of
from devflow.ports.engine import RunSpec
from devflow.supervisor.lock import only_one


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    place = tmp_path / "var"
    monkeypatch.setenv("DATA_DIR", str(place))
    yield place


def made(engine: DockerEngine, installation: str) -> None:
    labels = {INSTALLATION: installation}
    network = f"devflow-test-{installation}"
    engine.ensure_network(network, labels)
    spec = RunSpec(
        name=f"devflow-test-{installation}", image="python:3.13-slim", network=network, labels=labels,
        command=("sleep", "300"), restart=False,
    )  # fmt: skip
    engine.run(spec)


def holds(engine: DockerEngine, installation: str) -> tuple[int, int]:
    mine = {INSTALLATION: installation}
    return len(engine.containers(mine)), len(engine.networks(mine))


def test_reset_takes_what_is_ours_after_asking(folder: Path, engine: DockerEngine) -> None:
    mine, other = installation_of(load()), f"other-{folder.parent.name}"
    (folder / "devflow.db").write_text("rows")
    try:
        made(engine, mine)
        made(engine, other)
        refused = CliRunner().invoke(main, ["reset"], input="n\n")
        assert refused.exit_code == 0 and holds(engine, mine) == (1, 1) and (folder / "devflow.db").exists()
        done = CliRunner().invoke(main, ["reset"], input="y\n")
        assert done.exit_code == 0, done.output
        assert f"removed container devflow-test-{mine}" in done.output
        assert holds(engine, mine) == (0, 0) and holds(engine, other) == (1, 1) and not folder.exists()
    finally:
        for installation in (mine, other):
            for container in engine.containers({INSTALLATION: installation}):
                engine.stop(container.id, 0)
                engine.remove(container.id)
            engine.remove_network(f"devflow-test-{installation}")


def test_reset_without_an_engine_still_empties_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder.parent}/no.sock")
    load()
    done = CliRunner().invoke(main, ["reset", "--yes"])
    assert done.exit_code == 0 and "stays there" in done.output and not folder.exists()


def test_reset_is_refused_while_devflow_runs(folder: Path) -> None:
    load()
    with only_one(folder, "here"):
        refused = CliRunner().invoke(main, ["reset", "--yes"])
    assert refused.exit_code == 1 and "is running" in refused.output and folder.exists()
