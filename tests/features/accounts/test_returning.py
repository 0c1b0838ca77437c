"""What somebody granted DevFlow at GitHub is given back there when they disconnect it, whatever GitHub does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from devflow.core.db import db
from devflow.core.events import OutboxRow
from devflow.core.jobs import JobRow
from tests.conftest import PASSWORD, Person
from tests.features.accounts.github_fixture import Github, GithubUser
from tests.features.accounts.oauth_trips import type_of_oauth
from tests.working import work

KIND = "accounts.give_back_grant"
ASKED = "DELETE /api/v3/applications/Iv1.devflow/grant"


@pytest.fixture
def settings(github: Github) -> dict[str, Any]:
    return {**github.settings(), "app_url": "http://localhost"}


@pytest.fixture
def connected(ann: Person, person: Callable[..., Person], github: Github) -> Person:
    """Bob, with GitHub connected; there he has granted a second token to this DevFlow before."""
    github.tokens |= {"gho_now": github.user, "gho_before": github.user, "gho_other": GithubUser(99, "mallory")}
    bob = person("Bob")
    bob.call("POST", "/github/connect", access_token="gho_now")
    return bob


def ends(app: Flask) -> list[tuple[str, str | None]]:
    with app.app_context():
        return [(row.state, row.error) for row in db.session.scalars(select(JobRow).where(JobRow.kind == KIND))]


def test_disconnecting_ends_the_grant_at_github(app: Flask, connected: Person, github: Github) -> None:
    connected.call("DELETE", "/github/disconnect")
    assert ASKED not in github.asked  # nobody waits for GitHub
    assert work(app, KIND) == 1 and list(github.tokens) == ["gho_other"]
    assert ends(app) == [("done", None)]


def test_so_does_deleting_the_account(app: Flask, connected: Person, github: Github) -> None:
    connected.call("DELETE", "/user/account", password=PASSWORD)
    assert work(app, KIND) == 1 and list(github.tokens) == ["gho_other"]


def test_so_does_connecting_another_account(app: Flask, connected: Person, github: Github) -> None:
    connected.call("POST", "/github/connect", access_token="gho_other")
    assert connected.call("GET", "/github/connection")["github_username"] == "mallory"
    assert work(app, KIND) == 1 and list(github.tokens) == ["gho_other"]


def test_connecting_the_same_one_again_gives_nothing_back(app: Flask, connected: Person, github: Github) -> None:
    connected.call("POST", "/github/connect", access_token="gho_before")
    assert work(app, KIND) == 0
    connected.call("DELETE", "/github/disconnect")
    connected.call("POST", "/github/connect", access_token="gho_now")  # before the worker came to it
    assert work(app, KIND) == 1 and set(github.tokens) == {"gho_now", "gho_before", "gho_other"}


def test_while_github_is_away_it_is_disconnected_all_the_same_and_tried_again(
    app: Flask, connected: Person, github: Github
) -> None:
    github.broken = True
    connected.call("DELETE", "/github/disconnect")
    assert connected.call("GET", "/github/connection")["connected"] is False
    assert work(app, KIND) == 1 and ends(app)[0][0] == "queued" and "GitHub does not answer" in str(ends(app)[0][1])
    github.broken = False
    assert work(app, KIND) == 1 and list(github.tokens) == ["gho_other"] and ends(app) == [("done", None)]


def test_what_github_does_not_know_any_more_is_given_back_already(
    app: Flask, connected: Person, github: Github
) -> None:
    github.tokens.clear()
    connected.call("DELETE", "/github/disconnect")
    assert work(app, KIND) == 1 and ends(app) == [("done", None)]


def test_who_is_no_client_of_github_any_more_is_not_tried_for_hours(
    app: Flask, connected: Person, github: Github
) -> None:
    github.secret = "changed there"
    connected.call("DELETE", "/github/disconnect")
    assert work(app, KIND) == 1 and ends(app)[0][0] == "failed"
    assert work(app, KIND) == 0


def test_the_token_waits_sealed(app: Flask, connected: Person, github: Github) -> None:
    connected.call("DELETE", "/github/disconnect")
    with app.app_context():
        waiting = [row.payload for kind in (JobRow, OutboxRow) for row in db.session.scalars(select(kind))]
    assert any("sealed_token" in payload for payload in waiting) and "gho_" not in str(waiting)


def test_nobody_waits_for_github_with_a_transaction_open(
    app: Flask, connected: Person, github: Github, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, free = app.extensions["devflow-ports"][type_of_oauth(app)], []
    monkeypatch.setattr(adapter, "revoke", lambda *_: free.append(not db.session().in_transaction()))
    connected.call("DELETE", "/github/disconnect")
    assert work(app, KIND) == 1 and free == [True]
