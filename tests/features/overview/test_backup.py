"""A project may be packed up before it is deleted."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable

import pytest
from flask import Flask

from devflow.core.crypto import vault
from devflow.core.settings import Settings
from devflow.ports.logs import Logs
from devflow.web.ports import port
from tests.conftest import Person

URL = "https://example.com/team/shop.git"


@pytest.fixture
def shop(app: Flask, ann: Person) -> Person:
    """A project with a secret and a cancelled deployment that has a log."""
    project = ann.call(
        "POST", "/projects", 201, repository_url=URL, name="Shop", environment_variables={"KEY": "very secret"}
    )
    deployment = ann.call("POST", "/projects/shop/deploy", 201)
    with app.app_context():
        writer = port(Logs).writer(f"deployment/{project['id']}/{deployment['id']}")
        writer.write("Cloning the repository")
        writer.close()
    ann.call("POST", f"/deployments/{deployment['id']}/cancel")
    return ann


def test_a_backup_holds_what_the_deletion_loses(app: Flask, shop: Person) -> None:
    said = shop.call("DELETE", "/projects/shop?backup=true")
    assert said["backup_created"] is True and said["backup_path"].startswith("backups/projects/shop-")
    shop.call("GET", "/projects/shop", 404)
    with app.app_context():
        file = port(Settings).folder / said["backup_path"]
        assert file.stat().st_mode & 0o077 == 0
        assert b"very secret" not in file.read_bytes()
        with tarfile.open(file) as archive:
            texts = {name: archive.extractfile(name).read().decode() for name in archive.getnames()}  # type: ignore[union-attr]
        assert set(texts) == {"project.json", "variables.json", "deployments.jsonl", "logs/1.log"}
        project, variables = json.loads(texts["project.json"]), json.loads(texts["variables.json"])
        assert project["repository_url"] == URL and project["environment_variables"] == {"KEY": "***"}
        assert "very secret" not in "".join(texts.values()) and vault().open(variables["KEY"]) == "very secret"
    assert json.loads(texts["deployments.jsonl"])["number"] == 1 and "Cloning the repository" in texts["logs/1.log"]


def test_without_asking_there_is_none(app: Flask, shop: Person) -> None:
    assert shop.call("DELETE", "/projects/shop") == {"backup_created": False, "backup_path": None}
    with app.app_context():
        assert not (port(Settings).folder / "backups").exists()


def test_a_deletion_that_is_refused_leaves_no_backup(app: Flask, shop: Person, person: Callable[[str], Person]) -> None:
    shop.call("POST", "/projects/shop/deploy", 201)
    shop.call("DELETE", "/projects/shop?backup=true", 409)
    person("Ben").call("DELETE", "/projects/shop?backup=true", 404)
    with app.app_context():
        assert not (port(Settings).folder / "backups").exists()
