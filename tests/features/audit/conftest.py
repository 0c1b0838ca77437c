"""The audit of an app inside its context: its folder of sealed files, its commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask

from devflow import cli
from devflow.core.db import db
from devflow.core.settings import Settings
from devflow.web.ports import port


@pytest.fixture
def within(app: Flask) -> Iterator[Flask]:
    """The app, with the test inside its context."""
    with app.app_context():
        yield app
        db.session.remove()


@pytest.fixture
def folder(within: Flask) -> Path:
    """Where sealed files are."""
    return port(Settings).folder / "audit"


@pytest.fixture
def command(within: Flask, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`devflow audit …` on the same database."""
    monkeypatch.setattr(cli, "create_app", lambda: within)
    return lambda *words: CliRunner().invoke(cli.main, ["audit", *words])
