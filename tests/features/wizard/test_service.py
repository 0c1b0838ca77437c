"""Looking at repositories: slow, so nothing is held meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Flask

from devflow.core.db import db
from devflow.core.settings import Settings
from devflow.features.projects import service as projects
from devflow.features.wizard import service
from devflow.features.wizard.rules import Wish
from devflow.features.wizard.schemas import RepositoryForm
from devflow.ports.git import Commit, Git, Remote, Repository
from devflow.ports.images import BaseImages
from devflow.web.ports import port


class SlowGit:
    """Notes whether a transaction is open while it works."""

    def __init__(self, real: Git) -> None:
        self.real, self.held = real, list[bool]()

    def probe(self, repository: Repository, timeout: float = 15) -> Remote:
        self.held.append(db.session().in_transaction())
        return Remote("main", (("main", "0" * 40),))

    def checkout(self, *arguments: Any) -> Commit:
        self.held.append(db.session().in_transaction())
        return self.real.checkout(*arguments)


def test_no_transaction_is_open_while_git_works(app: Flask, tmp_path: Path) -> None:
    with app.app_context():
        git = SlowGit(port(Git))
        assert projects.slug_is_free("shop") and db.session().in_transaction()
        form = RepositoryForm(repository_url=str(tmp_path / "none"))
        wish = service.look_at(Wish("", ""), form, git, port(BaseImages), port(Settings), tmp_path / "draft")
        assert wish.detected_error and git.held == [False, False]
