"""The pages of projects: what a form says when it cannot be kept."""

from __future__ import annotations

from collections.abc import Callable

from flask.testing import FlaskClient

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
