"""Addresses are confirmed and passwords recovered by links that work once."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from devflow.core.clock import now
from devflow.core.crypto import vault
from devflow.core.db import db
from devflow.core.jobs import JobRow
from devflow.core.settings import Settings
from devflow.features.accounts.models import EmailToken, GithubConnection, User
from devflow.features.mail.models import Letter
from devflow.features.mail.service import MOST_AN_HOUR, contents
from tests.conftest import PASSWORD, Person, csrf
from tests.working import work

NEW = "battery staple"


def links(app: Flask, to: str, template: str) -> list[str]:
    """The tokens in letters to an address that are still kept, oldest first."""
    with app.app_context():
        mine = select(Letter).where(Letter.to == to, Letter.template == template).order_by(Letter.id)
        found = [contents(letter, "").link for letter in db.session.scalars(mine)]
    return [re.sub(r".*token=", "", link) for link in found]


def post(app: Flask, path: str, expect: int = 200, **body: Any) -> Any:
    answer = app.test_client().post(f"/api/v1{path}", json=body)
    assert answer.status_code == expect, answer.text
    return answer.get_json()


def verified(app: Flask, who: Person) -> bool:
    with app.app_context():
        return bool(db.session.scalar(select(User.email_verified).where(User.id == who.id)))


def sign_in(app: Flask, email: str, password: str) -> int:
    return app.test_client().post("/api/v1/auth/login", json={"email": email, "password": password}).status_code


def asked(app: Flask, email: str) -> str:
    """The token of a fresh link to a new password."""
    post(app, "/auth/forgot-password", email=email)
    assert work(app, "accounts.send_reset_link") == 1
    return links(app, email, "reset_password")[-1]


@pytest.fixture
def mail_server(app: Flask) -> None:
    """Let the app believe in one; letters wait for the worker."""
    ports = app.extensions["devflow-ports"]
    ports[Settings] = ports[Settings].model_copy(update={"smtp_host": "mail.example.com"})


def test_nobody_hears_of_a_letter_that_no_server_sends(app: Flask, ann: Person) -> None:
    body = {"name": "Bob", "email": "bob@example.com", "password": PASSWORD}
    assert post(app, "/auth/register", 201, **body)["data"]["confirmation_sent"] is False
    assert ann.call("POST", "/auth/resend-verification") == {"confirmation_sent": False}
    for path in ("/auth/forgot-password", "/auth/reset-password"):
        known, unknown = post(app, path, email=ann.email), post(app, path, email="nobody@example.com")
        assert known["data"] == unknown["data"] == {"email_sent": False}
        assert known["message"] == unknown["message"] and "administrator" in known["message"]


@pytest.mark.usefixtures("mail_server")
def test_signing_up_sends_a_link_and_says_so(app: Flask) -> None:
    body = {"name": "Ann", "email": "ann@example.com", "password": PASSWORD}
    data = post(app, "/auth/register", 201, **body)["data"]
    assert data["confirmation_sent"] is True and data["is_verified"] is False
    assert len(links(app, "ann@example.com", "verify_email")) == 1


@pytest.mark.parametrize("path", ["/auth/verify-email", "/auth/confirm-email"])
def test_the_link_confirms_the_address_once(app: Flask, ann: Person, path: str) -> None:
    token = links(app, ann.email, "verify_email")[0]
    said = post(app, path, token=token)
    assert said["data"] == {"email": ann.email, "is_verified": True}
    assert said["message"] == "Email confirmed successfully"
    error = post(app, path, 422, token=token)["error"]
    assert error["code"] == "VALIDATION_ERROR" and error["details"]["errors"][0]["field"] == "token"
    assert ann.call("GET", "/auth/me")["email_verified"] is True
    assert ann.call("GET", "/audit")[0]["action"] == "account.email_verified"


@pytest.mark.parametrize("token", ["", "rubbish", "x" * 201, "a\x00b", "' or 1=1 --"])
def test_rubbish_confirms_nothing(app: Flask, ann: Person, token: str) -> None:
    post(app, "/auth/verify-email", 422, token=token)
    assert not verified(app, ann)


def test_a_link_for_one_purpose_serves_no_other(app: Flask, ann: Person) -> None:
    verify, reset = links(app, ann.email, "verify_email")[0], asked(app, ann.email)
    post(app, "/auth/reset-password", 422, token=verify, password=NEW)
    post(app, "/auth/verify-email", 422, token=reset)
    assert sign_in(app, ann.email, PASSWORD) == 200 and not verified(app, ann)


def test_sending_again_kills_the_earlier_link(app: Flask, ann: Person) -> None:
    first = links(app, ann.email, "verify_email")[0]
    ann.call("POST", "/auth/resend-verification")
    post(app, "/auth/verify-email", 422, token=first)
    post(app, "/auth/verify-email", token=links(app, ann.email, "verify_email")[1])
    assert ann.call("POST", "/auth/resend-verification", 409)["code"] == "CONFLICT"


@pytest.mark.parametrize(("days", "status"), [(2.9, 200), (3.1, 422)])
def test_the_link_expires(app: Flask, ann: Person, days: float, status: int) -> None:
    token = links(app, ann.email, "verify_email")[0]
    with time_machine.travel(now() + timedelta(days=days)):
        post(app, "/auth/verify-email", status, token=token)


def test_a_link_to_an_address_that_changed_is_dead(app: Flask, ann: Person) -> None:
    token = links(app, ann.email, "verify_email")[0]
    with app.app_context():
        db.session.execute(db.update(User).values(email="other@example.com"))
        db.session.commit()
    post(app, "/auth/verify-email", 422, token=token)


def test_only_a_digest_of_the_link_is_stored(app: Flask, ann: Person) -> None:
    token = links(app, ann.email, "verify_email")[0]
    with app.app_context():
        row = db.session.scalars(select(EmailToken)).one()
        letter = db.session.scalars(select(Letter)).one()
        assert token not in (row.digest, letter.context) and token in vault().open(letter.context)


def test_a_forgotten_password_is_replaced_and_every_session_ends(app: Flask, ann: Person) -> None:
    token = asked(app, ann.email)
    post(app, "/auth/reset-password", 422, token=token, password="short")
    said = post(app, "/auth/reset-password", token=token, new_password=NEW)
    assert said["data"] is None and said["message"]
    assert ann.client.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {ann.token}"}).status_code == 401
    assert (sign_in(app, ann.email, PASSWORD), sign_in(app, ann.email, NEW)) == (401, 200)
    assert verified(app, ann)  # the link came by mail
    post(app, "/auth/reset-password", 422, token=token, password=NEW)
    assert len(links(app, ann.email, "password_changed")) == 1


def test_a_new_password_kills_the_other_links(app: Flask, ann: Person) -> None:
    first, second = asked(app, ann.email), asked(app, ann.email)
    post(app, "/auth/reset-password", token=second, password=NEW)
    post(app, "/auth/reset-password", 422, token=first, password="somebody else's")


@pytest.mark.usefixtures("mail_server")
def test_the_address_alone_asks_for_the_link(app: Flask, ann: Person) -> None:
    said = post(app, "/auth/reset-password", email=ann.email)
    assert said["data"] == {"email_sent": True} and said["message"] == "Password reset email sent"
    assert work(app, "accounts.send_reset_link") == 1
    assert len(links(app, ann.email, "reset_password")) == 1


@pytest.mark.parametrize("body", [{}, {"token": "x"}, {"password": NEW}, {"email": "rubbish"}, {"token": 5}])
def test_half_a_reset_is_refused(app: Flask, body: dict[str, Any]) -> None:
    post(app, "/auth/reset-password", 422, **body)


def test_asking_tells_nobody_whether_an_account_exists(app: Flask, ann: Person) -> None:
    said = [post(app, "/auth/forgot-password", email=email) for email in (ann.email, "nobody@example.com")]
    assert said[0]["data"] == said[1]["data"] and said[0]["message"] == said[1]["message"]
    with app.app_context():
        kinds = db.session.scalars(select(JobRow.kind).where(JobRow.kind == "accounts.send_reset_link")).all()
        assert len(kinds) == 2  # the same work for both; only the worker looks
    assert work(app, "accounts.send_reset_link") == 2
    with app.app_context():
        assert db.session.scalars(select(Letter.to).where(Letter.template == "reset_password")).all() == [ann.email]


def test_nobody_can_flood_a_mailbox(app: Flask, ann: Person) -> None:
    for _ in range(6):
        post(app, "/auth/forgot-password", email=ann.email)
    work(app, "accounts.send_reset_link")
    tokens = links(app, ann.email, "reset_password")
    assert len(tokens) == 3
    post(app, "/auth/reset-password", token=tokens[0], password=NEW)  # asking again took nothing away


def test_a_job_that_runs_twice_sends_one_link_more_at_most_once_each(app: Flask, ann: Person) -> None:
    post(app, "/auth/forgot-password", email=ann.email)
    assert (work(app, "accounts.send_reset_link"), work(app, "accounts.send_reset_link")) == (1, 0)


@pytest.mark.parametrize(("minutes", "status"), [(59, 200), (61, 422)])
def test_a_link_to_a_new_password_lives_an_hour(app: Flask, ann: Person, minutes: int, status: int) -> None:
    token = asked(app, ann.email)
    with time_machine.travel(now() + timedelta(minutes=minutes)):
        post(app, "/auth/reset-password", status, token=token, password=NEW)


def test_a_clock_that_jumps_back_revives_no_used_link(app: Flask, ann: Person) -> None:
    token = asked(app, ann.email)
    post(app, "/auth/reset-password", token=token, password=NEW)
    with time_machine.travel(now() - timedelta(days=1)):
        post(app, "/auth/reset-password", 422, token=token, password=PASSWORD)


def test_of_two_at_once_one_sets_the_password(app: Flask, ann: Person) -> None:
    token, start, said = asked(app, ann.email), threading.Barrier(4), []

    def race(number: int) -> None:
        start.wait()
        body = {"token": token, "password": f"password {number}"}
        said.append((app.test_client().post("/api/v1/auth/reset-password", json=body).status_code, number))

    threads = [threading.Thread(target=race, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(status for status, _ in said) == [200, 422, 422, 422]
    winner = next(number for status, number in said if status == 200)
    assert sign_in(app, ann.email, f"password {winner}") == 200


def test_an_account_that_is_switched_off_gets_no_link_and_uses_none(
    app: Flask, ann: Person, person: Callable[..., Person]
) -> None:
    bob = person("Bob")
    token = asked(app, bob.email)
    with app.app_context():
        db.session.execute(db.update(User).where(User.id == bob.id).values(is_active=False))
        db.session.commit()
    post(app, "/auth/reset-password", 422, token=token, password=NEW)
    post(app, "/auth/forgot-password", email=bob.email)
    work(app, "accounts.send_reset_link")
    assert len(links(app, bob.email, "reset_password")) == 1


def test_changing_the_password_ends_the_other_sessions_only(app: Flask, ann: Person) -> None:
    body = {"email": ann.email, "password": PASSWORD}
    other = app.test_client().post("/api/v1/auth/login", json=body).get_json()["data"]["access_token"]
    wrong = ann.call("POST", "/auth/change-password", 401, current_password="wrong", new_password=NEW)
    assert wrong["code"] == "AUTHENTICATION_FAILED"
    ann.call("POST", "/auth/change-password", 422, current_password=PASSWORD, new_password="short")
    ann.call("POST", "/auth/change-password", currentPassword=PASSWORD, newPassword=NEW)
    assert ann.call("GET", "/auth/me")["email"] == ann.email
    headers = {"Authorization": f"Bearer {other}"}
    assert app.test_client().get("/api/v1/auth/me", headers=headers).status_code == 401
    assert (sign_in(app, ann.email, PASSWORD), sign_in(app, ann.email, NEW)) == (401, 200)
    entry = next(e for e in ann.call("GET", "/audit") if e["action"] == "account.password_changed")
    assert entry["details"] == {"password": "changed"}


def test_a_token_changes_no_password(app: Flask, ann: Person) -> None:
    body = {"name": "ci", "scopes": ["write", "admin"]}
    token = ann.call("POST", "/dev/tokens", 201, **body)["token"]
    robot = Person(app.test_client(), ann.id, ann.email, token)
    robot.call("POST", "/auth/change-password", 403, current_password=PASSWORD, new_password=NEW)
    letter = ann.call("GET", "/mail/letters")[0]
    robot.call("POST", f"/mail/letters/{letter['id']}/link", 403)
    assert sign_in(app, ann.email, PASSWORD) == 200


def test_guessing_the_current_password_ends(app: Flask, ann: Person) -> None:
    body = {"current_password": "wrong", "new_password": NEW}
    headers = {"Authorization": f"Bearer {ann.token}"}
    codes = [ann.client.post("/api/v1/auth/change-password", json=body, headers=headers).status_code for _ in range(12)]
    assert codes[0] == 401 and codes[-1] == 429


def test_own_sessions_are_listed_and_ended(app: Flask, ann: Person, person: Callable[..., Person]) -> None:
    body = {"email": ann.email, "password": PASSWORD}
    other = app.test_client().post("/api/v1/auth/login", json=body).get_json()["data"]["access_token"]
    listed = ann.call("GET", "/auth/sessions")
    assert [found["current"] for found in listed] == [False, True]
    assert set(listed[0]) == {"id", "created_at", "expires_at", "ip_address", "user_agent", "current"}
    bob = person("Bob")
    bob.call("DELETE", f"/auth/sessions/{listed[0]['id']}", 404)
    ann.call("DELETE", f"/auth/sessions/{listed[0]['id']}")
    headers = {"Authorization": f"Bearer {other}"}
    assert app.test_client().get("/api/v1/auth/me", headers=headers).status_code == 401
    ann.call("DELETE", f"/auth/sessions/{listed[0]['id']}", 404)


class TestWithMail:
    """Where mail works, deploying needs a confirmed address."""

    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"smtp_host": "127.0.0.1", "smtp_port": 9}

    def test_deploying_needs_a_confirmed_address(self, app: Flask, ann: Person) -> None:
        project = ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git")
        error = ann.call("POST", f"/projects/{project['id']}/deploy", 403)
        assert error["code"] == "EMAIL_NOT_VERIFIED" and ann.email in error["message"]
        post(app, "/auth/verify-email", token=links(app, ann.email, "verify_email")[0])
        ann.call("POST", f"/projects/{project['id']}/deploy", 201)


def test_without_mail_deploying_does_not_wait_for_it(app: Flask, ann: Person) -> None:
    project = ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git")
    ann.call("POST", f"/projects/{project['id']}/deploy", 201)


def test_pages_show_before_they_act(app: Flask, ann: Person) -> None:
    client, token = app.test_client(), links(app, ann.email, "verify_email")[0]
    for _ in range(2):  # as a preview of the mail opens it, then the person
        page = client.get(f"/verify-email?token={token}")
        assert page.status_code == 200 and "Confirm address" in page.text
        assert page.headers["Referrer-Policy"] == "same-origin"
    assert not verified(app, ann)
    answer = client.post("/verify-email", data={"token": token, "csrf_token": csrf(client)})
    assert answer.status_code == 200 and "is confirmed" in answer.text and verified(app, ann)
    again = client.get(f"/verify-email?token={token}")
    assert again.status_code == 200 and "not valid any more" in again.text
    assert "not complete" in client.get("/verify-email").text
    refused = client.post("/verify-email", data={"token": token, "csrf_token": csrf(client)})
    assert refused.status_code == 422


def test_who_proves_to_own_the_address_keeps_nothing_a_stranger_had_set_up(app: Flask, ann: Person) -> None:
    """Somebody signs up with a stranger's address, leaves ways in behind, and waits until the owner comes."""
    key = ann.call("POST", "/dev/tokens", 201, name="left behind", scopes=["read", "write"])["token"]
    with app.app_context():
        user = db.session.get(User, ann.id)
        assert user is not None
        user.github_id = user.oidc_id = "of-a-stranger"
        db.session.add(GithubConnection(user_id=ann.id, github_username="stranger", github_access_token="sealed"))
        db.session.commit()
    post(app, "/auth/forgot-password", email=ann.email)
    work(app, "accounts.send_reset_link")
    post(app, "/auth/reset-password", token=links(app, ann.email, "reset_password")[0], password=NEW)
    Person(app.test_client(), ann.id, ann.email, key).call("GET", "/auth/me", 401)
    with app.app_context():
        user = db.session.get(User, ann.id)
        assert user is not None and user.email_verified and (user.github_id, user.oidc_id) == (None, None)
        assert db.session.scalar(select(GithubConnection.id)) is None


def test_a_confirmed_account_keeps_its_tokens_when_the_password_is_forgotten(app: Flask, ann: Person) -> None:
    post(app, "/auth/verify-email", token=links(app, ann.email, "verify_email")[0])
    key = ann.call("POST", "/dev/tokens", 201, name="ci", scopes=["read"])["token"]
    post(app, "/auth/forgot-password", email=ann.email)
    work(app, "accounts.send_reset_link")
    post(app, "/auth/reset-password", token=links(app, ann.email, "reset_password")[0], password=NEW)
    Person(app.test_client(), ann.id, ann.email, key).call("GET", "/auth/me")


def test_nobody_floods_a_mailbox_by_asking_for_the_link_again_and_again(app: Flask, ann: Person) -> None:
    answers = [ann.client.post("/api/v1/auth/resend-verification", headers=_bearer(ann)) for _ in range(MOST_AN_HOUR)]
    assert [answer.status_code for answer in answers] == [200] * (MOST_AN_HOUR - 1) + [429]
    assert int(answers[-1].headers["Retry-After"]) > 60
    with time_machine.travel(now() + timedelta(minutes=61)):
        assert sign_in(app, ann.email, PASSWORD) == 200


def _bearer(who: Person) -> dict[str, str]:
    return {"Authorization": f"Bearer {who.token}"}


def test_its_forms_work_behind_tls_where_a_browser_has_to_say_which_page_they_were_on(app: Flask, ann: Person) -> None:
    client = app.test_client()
    token, here = csrf(client), "https://localhost/forgot-password"
    policy = client.get("/forgot-password", base_url="https://localhost").headers["Referrer-Policy"]
    said = {} if policy == "no-referrer" else {"Referer": here}  # what a browser sends along then
    form = {"email": ann.email, "csrf_token": token}
    assert client.post(here, data=form, headers=said).status_code == 200
    assert client.post(here, data=form, headers={"Referer": "https://evil.example/"}).status_code == 403


def test_the_reset_page_asks_twice_and_leads_to_the_sign_in(app: Flask, ann: Person) -> None:
    client = app.test_client()
    page = client.post("/forgot-password", data={"email": ann.email, "csrf_token": csrf(client)})
    assert page.status_code == 200 and "on its way" in page.text
    unknown = client.post("/forgot-password", data={"email": "nobody@example.com", "csrf_token": csrf(client)})
    shown = [answer.text.split("<main")[1] for answer in (page, unknown)]
    assert shown[1].replace("nobody@example.com", ann.email) == shown[0]
    work(app, "accounts.send_reset_link")
    token = links(app, ann.email, "reset_password")[0]
    form = {"token": token, "password": NEW, "repeat": "something else", "csrf_token": csrf(client)}
    assert "not the same password" in client.post("/reset-password", data=form).text
    done = client.post("/reset-password", data=form | {"repeat": NEW})
    assert done.status_code == 303 and done.location == "/login"
    assert "not valid any more" in client.get(f"/reset-password?token={token}").text
    again = form | {"repeat": NEW, "csrf_token": csrf(client)}
    assert client.post("/reset-password", data=again).status_code == 422
    assert sign_in(app, ann.email, NEW) == 200
