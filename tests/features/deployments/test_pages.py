"""The pages of deployments: a button that comes too late says so on a page, not on an error page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import Person, csrf

Browser = Callable[[Person], FlaskClient]


@pytest.fixture
def running(ann: Person) -> dict[str, str]:
    """A project whose deployment is under way."""
    project = ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git")
    deployment = ann.call("POST", f"/projects/{project['id']}/deploy", 201)
    return {"slug": project["slug"], "id": deployment["id"]}


def test_a_second_tab_is_led_to_what_the_first_one_started(
    ann: Person, browser: Browser, running: dict[str, str]
) -> None:
    second = browser(ann)
    answer = second.post(f"/projects/{running['slug']}/deploy", data={"csrf_token": csrf(second)})
    assert (answer.status_code, answer.location) == (303, f"/deployments/{running['id']}")
    page = second.get(answer.location).text
    assert "is still queued. Wait for it, or cancel it first." in page and "force=true" not in page


def test_htmx_is_led_there_too(ann: Person, browser: Browser, running: dict[str, str]) -> None:
    second = browser(ann)
    headers = {"HX-Request": "true"}
    data = {"csrf_token": csrf(second)}
    answer = second.post(f"/projects/{running['slug']}/deploy", data=data, headers=headers)
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, f"/deployments/{running['id']}")


def test_cancelling_twice_tells_the_second_tab_where_it_stands(
    ann: Person, browser: Browser, running: dict[str, str]
) -> None:
    tab = browser(ann)
    address = f"/deployments/{running['id']}"
    data = {"csrf_token": csrf(tab)}
    assert tab.post(f"{address}/cancel", data=data).location == address
    ann.call("GET", f"/deployments/{running['id']}")
    late = tab.post(f"{address}/cancel", data=data, headers={"Referer": f"http://localhost{address}"})
    assert (late.status_code, late.location) == (303, address)
    assert "is over already" in tab.get(address).text


def test_a_referrer_leads_nowhere_else(ann: Person, browser: Browser, running: dict[str, str]) -> None:
    tab = browser(ann)
    data = {"csrf_token": csrf(tab)}
    tab.post(f"/deployments/{running['id']}/cancel", data=data)
    headers = {"Referer": "https://evil.example/deployments"}
    late = tab.post(f"/deployments/{running['id']}/cancel", data=data, headers=headers)
    assert late.location == "/dashboard"


def test_an_administrator_hears_which_setting_limits_deployments(
    app: Flask, ann: Person, running: dict[str, str]
) -> None:
    said = ""
    for _ in range(11):
        ann.call("POST", f"/deployments/{running['id']}/cancel")
        answer = ann.client.post(
            f"/api/v1/projects/{running['slug']}/deploy", headers={"Authorization": f"Bearer {ann.token}"}, json={}
        )
        if answer.status_code == 429:
            said = answer.get_json()["error"]["message"]
            assert int(answer.headers["Retry-After"]) > 0
            break
        running["id"] = answer.get_json()["data"]["id"]
    assert "DEPLOYMENTS_PER_HOUR" in said
