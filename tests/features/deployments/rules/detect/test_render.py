"""Generated Dockerfiles, compared as text, and what is done to them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from devflow.features.deployments.rules.detect import Overrides, detect, plain, scoped_caches, without_mounts
from devflow.features.deployments.rules.detect.own import instructions, parse
from tests.features.deployments.rules.detect.conftest import RUNTIMES, Plan, write

EXAMPLES = Path(__file__).parents[5] / "examples"
GOLDEN = Path(__file__).parent / "golden"
GENERATED = (
    "hello-flask",
    "hello-fastapi",
    "hello-django",
    "hello-node",
    "hello-express",
    "hello-vite",
    "hello-go",
    "hello-php",
    "hello-ruby",
    "hello-procfile",
)


@pytest.mark.parametrize("name", GENERATED)
def test_the_examples_get_the_dockerfile_they_should(name: str) -> None:
    text = detect(EXAMPLES / name, Overrides(), RUNTIMES).dockerfile_text
    assert text == (GOLDEN / f"{name}.Dockerfile").read_text(encoding="utf-8")


def test_every_golden_file_is_compared() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(GENERATED)


@pytest.mark.parametrize(
    ("name", "framework", "kind"),
    [
        ("hello-flask", "flask", "app"),
        ("hello-fastapi", "fastapi", "app"),
        ("hello-django", "django", "app"),
        ("hello-node", "node", "app"),
        ("hello-express", "express", "app"),
        ("hello-vite", "vite", "static"),
        ("hello-static", "static", "static"),
        ("hello-go", "go", "app"),
        ("hello-php", "php", "app"),
        ("hello-ruby", "ruby", "app"),
        ("hello-procfile", "python", "app"),
        ("hello-dockerfile", "dockerfile", "app"),
    ],
)
def test_the_examples_are_what_they_say(name: str, framework: str, kind: str) -> None:
    found = detect(EXAMPLES / name, Overrides(), RUNTIMES)
    assert (found.framework, found.kind) == (framework, kind)


@pytest.mark.parametrize("name", GENERATED)
def test_the_text_fits_old_builders(name: str) -> None:
    text = detect(EXAMPLES / name, Overrides(), RUNTIMES).dockerfile_text or ""
    assert "<<" not in text
    assert not re.search(r"(?m)^# *syntax|--link|--chmod", text)
    plain = without_mounts(text)
    assert "--mount" not in plain
    assert [word for word, _ in instructions(plain)] == [word for word, _ in instructions(text)]


@pytest.mark.parametrize("name", GENERATED)
def test_every_image_a_text_stands_on_is_named(name: str) -> None:
    found = detect(EXAMPLES / name, Overrides(), RUNTIMES)
    assert tuple(parse(found.dockerfile_text or "").images) == found.base_images


@pytest.mark.parametrize("name", GENERATED)
def test_nothing_runs_as_root(name: str) -> None:
    found = detect(EXAMPLES / name, Overrides(), RUNTIMES)
    users = [rest for word, rest in instructions(found.dockerfile_text or "") if word == "USER"]
    assert found.kind == "static" or users[-1] == "app"


def test_mounts_in_a_command_of_the_project_are_left_alone() -> None:
    text = "RUN --mount=type=cache,target=/a --mount=type=secret,id=env tool --mount=type=bind,x\n"
    assert without_mounts(text) == "RUN tool --mount=type=bind,x\n"


def test_caches_can_be_kept_apart() -> None:
    text = "RUN --mount=type=cache,id=pip-root,target=/root/.cache/pip pip install x\n"
    assert "id=team-7-pip-root,target=/root/.cache/pip" in scoped_caches(text, "team/7")


def test_a_change_of_the_build_environment_rebuilds_but_does_not_reinstall(plan: Plan) -> None:
    files = {"package.json": '{"dependencies": {"next": "15"}, "scripts": {"build": "next build"}}'}
    lines = [word for word, _ in instructions(plan(files).dockerfile_text or "")]
    assert lines.index("ARG") > lines.index("COPY")
    text = plan(files).dockerfile_text or ""
    assert text.index("npm install") < text.index("ARG DEVFLOW_BUILD_ENV") < text.index("npm run build")


@pytest.mark.parametrize("field", ["install_command", "build_command", "start_command"])
def test_a_command_is_taken_as_it_was_written(plan: Plan, field: str) -> None:
    hard = """sh -c 'echo "$HOME" | tr a b' && echo é # <<EOF"""
    found = plan({"requirements.txt": "flask", "app.py": ""}, **{"start_command": "x", field: hard})
    assert getattr(found, field) == hard
    if field != "start_command":
        assert any(
            line.startswith("RUN ") and line.endswith(f"; {hard}")
            for line in (found.dockerfile_text or "").splitlines()
        )


def test_an_install_command_of_ones_own_may_need_any_file(plan: Plan) -> None:
    found = plan({"requirements.txt": "flask", "app.py": ""}, install_command="make deps", start_command="x")
    lines = (found.dockerfile_text or "").splitlines()
    assert lines[next(i for i, line in enumerate(lines) if "make deps" in line) - 1] == "COPY --chown=app:app . ."


def test_port_and_output_follow_the_settings(plan: Plan) -> None:
    files = {"package.json": '{"dependencies": {"vite": "6"}, "scripts": {"build": "x"}}'}
    found = plan(files, output_directory="it's here", port=81)
    assert (found.port, found.output_directory) == (81, "it's here")
    assert """cp -RL -- 'it'"'"'s here' /site""" in (found.dockerfile_text or "")


@pytest.mark.parametrize(("folder", "title"), [("api", "Flask"), ("web", "Vite")])
def test_a_monorepo_is_read_from_its_root_directory(tmp_path: Path, folder: str, title: str) -> None:
    files = {
        "api/requirements.txt": "flask",
        "api/app.py": "from flask import Flask\napp = Flask('x')\n",
        "web/package.json": '{"devDependencies": {"vite": "6"}}',
    }
    found = detect(write(tmp_path, files), Overrides(root_directory=f"{folder}/"), RUNTIMES)
    assert found.title.startswith(title)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("hello-vite", "npm ci"),
        ("hello-vite", "npm run build"),
        ("hello-vite", "collect dist"),
        ("hello-flask", "pip install -r requirements.txt"),
        ("hello-django", "write devflow_static.py"),
        ("hello-go", "go build -trimpath -ldflags='-s -w' -o bin/app ."),
    ],
)
def test_a_step_is_shown_as_people_know_it(name: str, command: str) -> None:
    text = detect(EXAMPLES / name, Overrides(), RUNTIMES).dockerfile_text or ""
    shown = [plain(f"[4/7] RUN {rest}") for word, rest in instructions(text) if word == "RUN"]
    assert f"[4/7] RUN {command}" in shown
    assert not any("/run/secrets" in step for step in shown)


def test_a_message_keeps_what_is_around_the_command() -> None:
    text = "`set -a; [ ! -f /run/secrets/env ] || . /run/secrets/env; set +a; npm ci` ended with exit code 1."
    assert plain(text) == "`npm ci` ended with exit code 1."
