"""Every example app, as its README promises: from its folder to a page at its own address."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.journeys.platform import ROOT, Platform, Repository, User
from tests.journeys.remains import remains

pytestmark = pytest.mark.slow
EXAMPLES = {
    "hello-flask": ("flask", "app", "Hello from Flask"),
    "hello-fastapi": ("fastapi", "app", "Hello from FastAPI"),
    "hello-django": ("django", "app", "Hello from Django"),
    "hello-node": ("node", "app", "Hello from Node"),
    "hello-express": ("express", "app", "Hello from Express"),
    "hello-vite": ("vite", "static", "Hello from Vite"),
    "hello-static": ("static", "static", "Hello, plain page"),
    "hello-go": ("go", "app", "Hello from Go"),
    "hello-php": ("php", "app", "Hello from PHP"),
    "hello-ruby": ("ruby", "app", "Hello from Ruby"),
    "hello-procfile": ("python", "app", "Hello from a Procfile"),
    "hello-dockerfile": ("dockerfile", "app", "Hello from a Dockerfile"),
}
"""Folder: the framework it is taken for, how it is served, and words of its page."""
BUILD_SECONDS = 240
"""The first build of a runtime on a machine makes its base image and downloads its packages."""


def test_no_example_is_left_out() -> None:
    folders = {path.name for path in (ROOT / "examples").iterdir() if path.is_dir()}
    assert folders == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_built_and_served(name: str, platform: Platform, user: User, tmp_path: Path) -> None:
    framework, kind, words = EXAMPLES[name]
    code = Repository(tmp_path / name)
    shutil.copytree(ROOT / "examples" / name, code.folder, dirs_exist_ok=True)
    sha = code.commit(message="The example")
    project = user.project(code)
    done = user.ended(user.deploy(project), BUILD_SECONDS)
    assert done["status"] == "success", user.log(done)
    assert (done["framework"], done["commit_hash"]) == (framework, sha)
    page = platform.visit(f"{project['slug']}.localhost")
    assert page.status_code == 200 and words in page.text
    left = [what.partition(" ")[0] for what in remains(platform, done)]
    assert sorted(left) == (["container", "image"] if kind == "app" else ["folder"]), left
    user.call("DELETE", f"/projects/{project['id']}?force=true")
