"""The pages about one's own account, and the administrator's page about mail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from devflow.core.db import db
from devflow.features.mail.models import Letter
from tests.conftest import PASSWORD, Person, csrf

Browser = Callable[[Person], FlaskClient]
NEW = "battery staple"


@pytest.mark.parametrize("page", ["", "/security", "/notifications", "/appearance"])
def test_each_page_opens_under_its_tab(ann: Person, browser: Browser, page: str) -> None:
    text = browser(ann).get(f"/settings{page}").text
    assert f'href="/settings{page}" aria-current="page"' in text


@pytest.mark.parametrize(
    "address",
    [
        "/settings?block=form",
        "/settings/security?block=form",
        "/settings/security?block=sessions",
        "/admin/mail?block=letters",
        "/admin/mail?state=kept",
    ],
)
def test_parts_of_pages_stand_alone(app: Flask, ann: Person, browser: Browser, address: str) -> None:
    client = browser(ann)
    with app.app_context():
        db.session.execute(db.update(Letter).values(state="kept"))
        db.session.commit()
    part = client.get(address, headers={"HX-Request": "true"})
    assert part.status_code == 200 and "<html" not in part.text and 'class="panel' in part.text


def test_a_profile_is_saved_and_a_taken_name_is_said_at_the_form(
    ann: Person, person: Callable[..., Person], browser: Browser
) -> None:
    person("Bob")
    client = browser(ann)
    form = {"name": "Ann Other", "username": "ann.o", "csrf_token": csrf(client)}
    assert client.post("/settings", data=form).status_code == 303
    assert ann.call("GET", "/auth/me")["name"] == "Ann Other"
    taken = client.post("/settings", data=form | {"username": "BOB"})
    assert taken.status_code == 422 and "is taken" in taken.text and 'value="BOB"' in taken.text


def test_the_password_is_changed_on_the_page(app: Flask, ann: Person, browser: Browser) -> None:
    client = browser(ann)
    form = {"current_password": "wrong", "password": NEW, "repeat": NEW, "csrf_token": csrf(client)}
    wrong = client.post("/settings/security", data=form)
    assert wrong.status_code == 422 and "not the password of your account" in wrong.text and NEW not in wrong.text
    unequal = client.post("/settings/security", data=form | {"current_password": PASSWORD, "repeat": "another one"})
    assert unequal.status_code == 422 and "not the same password" in unequal.text
    assert client.post("/settings/security", data=form | {"current_password": PASSWORD}).status_code == 303
    assert client.get("/settings/security").status_code == 200  # this browser stays
    assert ann.client.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {ann.token}"}).status_code == 401


def test_other_sessions_are_ended_one_by_one_or_all(app: Flask, ann: Person, browser: Browser) -> None:
    first, second = browser(ann), browser(ann)
    here = second.get("/settings/security").text
    assert here.count("This one") == 1 and here.count('/end"') == 2
    address = here.split('action="/settings/sessions/', 1)[1].split('"', 1)[0]
    second.post(f"/settings/sessions/{address}", data={"csrf_token": csrf(second)})
    assert second.get("/settings/security").text.count('/end"') == 1
    second.post("/settings/sessions/end-others", data={"csrf_token": csrf(second)})
    assert second.get("/settings/security").status_code == 200
    assert first.get("/settings/security").status_code in (302, 303)
    assert ann.client.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {ann.token}"}).status_code == 401


def test_switches_are_saved_without_a_reload_and_others_stay(ann: Person, browser: Browser) -> None:
    client = browser(ann)
    form = {"email_notifications": "0", "in_app_comments": "1", "csrf_token": csrf(client)}
    saved = client.post("/settings/preferences", data=form, headers={"HX-Request": "true"})
    assert saved.status_code == 204 and "Saved" in saved.headers["HX-Trigger"]
    found = ann.call("GET", "/user/preferences")
    assert (found["email_notifications"], found["in_app_comments"]) == (False, True)
    assert found["deployment_failure_notifications"] is True and found["theme"] == "system"


def test_the_theme_of_the_account_is_in_the_page_itself(ann: Person, browser: Browser) -> None:
    client = browser(ann)
    assert 'data-theme="system"' in client.get("/settings/appearance").text
    form = {"theme": "dark", "csrf_token": csrf(client)}
    assert client.post("/settings/preferences", data=form, headers={"HX-Request": "true"}).status_code == 204
    assert 'data-theme="dark"' in client.get("/dashboard").text
    assert client.post("/settings/preferences", data=form | {"theme": "pink"}).status_code == 422
    assert "data-theme=" not in client.application.test_client().get("/login").text.split("<body")[0]


def test_without_mail_nobody_is_nagged(ann: Person, browser: Browser) -> None:
    assert "Confirm your address." not in browser(ann).get("/dashboard").text


class TestWithMail:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        secret = {"smtp_user": "devflow", "smtp_pass": "sesame-open"}
        return {"smtp_host": "mail.example.org", "smtp_from": "DevFlow <devflow@example.org>", **secret}

    def test_a_banner_asks_until_the_address_is_confirmed(self, app: Flask, ann: Person, browser: Browser) -> None:
        client = browser(ann)
        assert "Confirm your address." in client.get("/dashboard").text
        client.post("/verify-email/resend", data={"csrf_token": csrf(client)})
        with app.app_context():
            assert len(db.session.scalars(select(Letter.id)).all()) == 2
            db.session.execute(db.text("update users set email_verified = true"))
            db.session.commit()
        assert "Confirm your address." not in client.get("/dashboard").text

    def test_the_mail_page_shows_the_server_but_no_password(self, ann: Person, browser: Browser) -> None:
        text = browser(ann).get("/admin/mail").text
        assert "mail.example.org:587" in text and "STARTTLS" in text and "sesame-open" not in text


def test_kept_links_are_opened_on_the_mail_page(app: Flask, ann: Person, browser: Browser) -> None:
    client = browser(ann)
    with app.app_context():
        db.session.execute(db.update(Letter).values(state="kept"))
        db.session.commit()
    page = client.get("/admin/mail?state=kept").text
    assert "Show link" in page and "token=" not in page
    address = next(part.split('"')[0] for part in page.split('action="') if part.split('"')[0].endswith("/link"))
    shown = client.post(address, data={"csrf_token": csrf(client)}, headers={"HX-Request": "true"})
    assert shown.status_code == 200 and "/verify-email?token=" in shown.text


def test_the_mail_page_is_for_administrators(ann: Person, person: Callable[..., Person], browser: Browser) -> None:
    assert browser(person("Bob")).get("/admin/mail").status_code == 403
