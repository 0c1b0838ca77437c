"""The pages of projects: what a form says when it cannot be kept."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask
from flask.testing import FlaskClient

from devflow.core.access import SYSTEM
from devflow.core.db import db
from devflow.core.settings import Settings
from devflow.features.deployments.rules.plan import Failure, Outcome
from devflow.features.deployments.service import running
from devflow.web.ports import port
from tests.conftest import Person


def test_settings_that_collide_come_back_as_a_form(ann: Person, browser: Callable[[Person], FlaskClient]) -> None:
    for name in ("Shop", "Blog"):
        ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git", name=name)
    client = browser(ann)
    page = client.get("/projects/blog/settings").text
    token = page.split('name="csrf_token"', 1)[1].split('value="', 1)[1].split('"', 1)[0]
    form = {"csrf_token": token, "slug": "shop", "name": "My blog", "repository_url": "https://example.com/shop.git"}
    answer = client.post("/projects/blog/settings", data=form)
    assert answer.status_code == 422 and "shop is taken" in answer.text and 'value="My blog"' in answer.text


def failed(ann: Person, number: int) -> str:
    """A deployment of the shop that ends with a cause."""
    deployment: str = ann.call("POST", "/projects/shop/deploy", 201)["id"]
    running.begin(SYSTEM, deployment, 1, port(Settings))
    failure = Failure(f"The app crashed, time {number}.", "crash_loop", "Look at its last lines.")
    assert running.finish(SYSTEM, deployment, 1, Outcome("failed", failure=failure), "")
    db.session.remove()
    return deployment


def test_a_failed_project_names_the_cause_and_offers_the_log(
    app: Flask, ann: Person, browser: Callable[[Person], FlaskClient]
) -> None:
    ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git", name="Shop")
    with app.app_context():
        deployment = failed(ann, 1)
    page = browser(ann).get("/projects/shop").text
    assert "#1 failed, and nothing serves yet." in page and "The app crashed, time 1." in page
    assert "Look at its last lines." in page and f'href="/deployments/{deployment}">Open the log' in page
    with app.app_context():
        again: str = ann.call("POST", "/projects/shop/deploy", 201)["id"]
    page = browser(ann).get("/projects/shop").text
    assert "Open the log" not in page, "the next one is on its way"
    ann.call("POST", f"/deployments/{again}/cancel")


def test_a_project_that_is_closed_says_so(ann: Person, browser: Callable[[Person], FlaskClient]) -> None:
    ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git", name="Shop")
    for status, says in (("maintenance", "Down for maintenance."), ("inactive", "nothing can be deployed")):
        ann.call("PATCH", "/projects/shop", status=status)
        assert says in browser(ann).get("/projects/shop").text
    assert ann.call("POST", "/projects/shop/deploy", 409)["code"] == "INVALID_STATE"


def test_a_page_of_a_project_names_its_own_team_whichever_is_chosen(
    ann: Person, browser: Callable[[Person], FlaskClient]
) -> None:
    team = ann.call("POST", "/teams", 201, name="Storefront people")
    ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git", name="Shop", team_id=team["id"])
    client = browser(ann)
    crumb = '<li><a href="/dashboard">Storefront people</a></li>'
    assert crumb in client.get("/projects/shop").text
    assert crumb not in client.get("/projects").text  # the list goes on with the team that was chosen
