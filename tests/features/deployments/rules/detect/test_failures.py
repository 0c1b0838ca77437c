"""Trees that cannot be built say why and what to do; none of them ends in a traceback."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devflow.core.errors import Invalid, StepFailed
from devflow.features.deployments.rules.detect import Overrides, detect
from devflow.features.deployments.rules.detect.tree import LARGEST_MANIFEST
from tests.features.deployments.rules.detect.conftest import RUNTIMES, Plan, write


def failure(root: Path, **overrides: str) -> StepFailed:
    with pytest.raises(StepFailed) as caught:
        detect(root, Overrides(**overrides), RUNTIMES)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("package.json", b'{"a": }', "line 1, column 7"),
        ("package.json", b"[1]", "does not hold an object"),
        ("package.json", b"\xff\xfe\x00\xd8" + b"x" * 9, "not text in UTF-8"),
        ("package.json", b"\x89PNG\r\n\x1a\n\0", "not text in UTF-8"),
        ("package.json", b"{}\0", "binary data"),
        ("package.json", b"[" * 200_000, "nested too deeply"),
        ("package.json", b'{"a": ' + b"9" * 5000 + b"}", "number without end"),
        ("package.json", b" " * (LARGEST_MANIFEST + 1), "at most 8 MB are read"),
        ("pyproject.toml", b"[project", "Expected"),
        ("pyproject.toml", b"a = " + b"[" * 200_000, "nested too deeply"),
        ("Pipfile", b"x = = 1", "Invalid value"),
        ("Pipfile.lock", b"{}", "no Pipfile beside it"),
        ("uv.lock", b"", "no pyproject.toml beside it"),
        ("poetry.lock", b"", "no pyproject.toml beside it"),
        ("requirements.txt", b"-r gone.txt", "it includes gone.txt, which is not in the repository"),
        ("composer.json", b"{,}", "line 1"),
        ("go.mod", b"go 1.22\n", "no `module` line"),
        ("Procfile", b"web serve\n", "line 1 is not of the form"),
    ],
)
def test_a_broken_manifest_is_named_with_the_place(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(data)
    error = failure(tmp_path)
    assert error.cause == "manifest_invalid"
    assert error.message.startswith(f"{name} cannot be read: ")
    assert says in error.message
    assert error.hint


def test_a_manifest_of_fifty_megabytes_is_not_loaded(tmp_path: Path) -> None:
    with (tmp_path / "package.json").open("wb") as file:
        file.truncate(50 << 20)
    assert failure(tmp_path).message == "package.json cannot be read: it has 50 MB, and at most 8 MB are read."


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside.json", "gone.json", "package.json"])
def test_a_link_out_of_the_repository_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "outside.json").write_text('{"scripts": {"start": "node x"}}')
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "package.json").symlink_to(target)
    error = failure(tree)
    assert error.cause == "manifest_invalid"
    assert "a link that leads nowhere in the repository" in error.message


def test_a_link_inside_the_repository_is_followed(tmp_path: Path) -> None:
    write(tmp_path, {"shared/package.json": '{"scripts": {"start": "node x"}}', "web/x": ""})
    (tmp_path / "web" / "package.json").symlink_to("../shared/package.json")
    assert detect(tmp_path, Overrides(root_directory="web"), RUNTIMES).framework == "node"


def test_names_that_are_no_plain_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "package.json").mkdir()
    os.mkfifo(tmp_path / "requirements.txt")
    assert failure(tmp_path).cause == "nothing_detected"


@pytest.mark.parametrize("folder", ["gone", "file", "web/deeper"])
def test_a_missing_root_directory_is_named(tmp_path: Path, folder: str) -> None:
    write(tmp_path, {"web/index.html": "", "file": ""})
    error = failure(tmp_path, root_directory=folder)
    assert error.cause == "root_directory_missing"
    assert error.hint == "Set it to a folder of the repository, such as: web."


@pytest.mark.parametrize("folder", ["../other", "/etc", "a/../../b", "a\nb"])
def test_a_root_directory_outside_the_repository_is_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(Invalid) as refusal:
        detect(tmp_path, Overrides(root_directory=folder), RUNTIMES)
    assert list(refusal.value.fields) == ["root_directory"]


def test_a_root_directory_behind_a_link_outside_is_missing(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    write(tmp_path / "secret", {"index.html": ""})
    (tmp_path / "tree" / "web").symlink_to(tmp_path / "secret")
    assert failure(tmp_path / "tree", root_directory="web").cause == "root_directory_missing"


def test_an_empty_tree_says_what_was_looked_for(tmp_path: Path) -> None:
    error = failure(tmp_path)
    assert error.cause == "nothing_detected"
    assert error.message.startswith(
        "Nothing at the top of the repository says how to build this. Looked for: Dockerfile,"
    )
    assert error.hint == "Add a Dockerfile, or choose the framework and set the start command."


@pytest.mark.parametrize("framework", ["python", "flask", "node", "express", "next", "php", "ruby", "rails"])
def test_the_advice_helps_framework_and_start_command(tmp_path: Path, framework: str) -> None:
    write(tmp_path, {"serve.sh": "exec whatever"})
    found = detect(tmp_path, Overrides(framework=framework, start_command="sh serve.sh"), RUNTIMES)
    assert (found.kind, found.start_command) == ("app", "sh serve.sh")
    assert "serve.sh" in (found.dockerfile_text or "")


@pytest.mark.parametrize(
    ("command", "framework"),
    [
        ("python -u serve", "python"), ("/usr/local/bin/python3 serve", "python"), ("node serve", "node"),
        ("exec env DEBUG=1 ruby serve", "ruby"), ("php -S 0.0.0.0:$PORT", "php"),
    ],
)  # fmt: skip
def test_a_start_command_alone_helps_when_it_names_the_language(tmp_path: Path, command: str, framework: str) -> None:
    write(tmp_path, {"serve": ""})
    found = detect(tmp_path, Overrides(start_command=command), RUNTIMES)
    assert (found.framework, found.kind, found.start_command) == (framework, "app", command)


def test_a_start_command_goes_before_pages(tmp_path: Path) -> None:
    write(tmp_path, {"index.html": "", "serve": ""})
    assert detect(tmp_path, Overrides(start_command="python serve"), RUNTIMES).framework == "python"
    assert detect(tmp_path, Overrides(), RUNTIMES).framework == "static"


def test_a_start_command_that_does_not_tell_the_language_asks_for_it(tmp_path: Path) -> None:
    error = failure(write(tmp_path, {"serve.sh": ""}), start_command="sh serve.sh")
    assert error.hint == "The start command does not tell which language the program needs: choose the framework too."


@pytest.mark.parametrize("framework", ["go", "static"])
def test_where_a_start_command_does_not_help_it_is_not_advised(tmp_path: Path, framework: str) -> None:
    assert "start command" not in (failure(tmp_path, framework=framework, start_command="sh x").hint or "")


def test_folders_that_would_do_are_named(tmp_path: Path) -> None:
    vite = '{"devDependencies": {"vite": "6"}, "scripts": {"build": "vite build"}}'
    files = {
        "frontend/package.json": vite,
        "apps/api/main.py": "from fastapi import FastAPI\napp = FastAPI()\n",
        "broken/package.json": "{",
        "node_modules/x/index.html": "",
    }
    assert failure(write(tmp_path, files)).hint == (
        "frontend/ looks like a Vite app: set the root directory to frontend. "
        "apps/api/ looks like a FastAPI app: set the root directory to apps/api."
    )
    assert "apps/api/" in failure(tmp_path, root_directory="apps").hint


def test_a_framework_that_is_not_there_is_named(tmp_path: Path) -> None:
    error = failure(write(tmp_path, {"index.html": ""}), framework="rails")
    assert error.cause == "nothing_detected"
    assert error.message.startswith("The project is set to Rails, but there is nothing")


def test_an_unknown_framework_is_refused(plan: Plan) -> None:
    with pytest.raises(Invalid) as refusal:
        plan({"index.html": ""}, framework="cobol")
    assert list(refusal.value.fields) == ["framework"]


@pytest.mark.parametrize("field", ["install_command", "build_command", "start_command"])
def test_a_command_of_two_lines_is_refused(plan: Plan, field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        plan({"requirements.txt": "flask"}, **{"start_command": "x", field: "one\nRUN two"})
    assert list(refusal.value.fields) == [field]
