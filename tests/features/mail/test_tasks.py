"""Letters from the outbox to a real mail server, or kept where there is none."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from jinja2 import StrictUndefined
from sqlalchemy import select, update

from devflow.core.access import SYSTEM, Actor, Permission
from devflow.core.clock import now
from devflow.core.crypto import vault
from devflow.core.db import db, transaction
from devflow.core.jobs import JobRow, Jobs
from devflow.core.settings import Settings
from devflow.core.use_case import use_case
from devflow.features.mail import service
from devflow.features.mail.models import Letter
from devflow.features.mail.tasks import ATTEMPTS, SEND, rendered
from devflow.web.ports import port
from tests.conftest import Person
from tests.free_ports import free_port
from tests.ports.mail_fixtures import Sink, StartSink

TO = "bob@example.com"


@use_case(Permission.PLATFORM_MANAGE)
def write(_actor: Actor, to: str, **options: Any) -> str:
    return service.send(
        to, "reset_password", options.pop("subject", "Choose a new password"), path="/reset-password?token=abc",
        **{"name": "Bob", **options},
    ).id  # fmt: skip


def work(app: Flask) -> int:
    """One round of the worker over the letters that are due."""
    with app.app_context():
        due = select(JobRow.id, JobRow.attempt).where(JobRow.kind == SEND, JobRow.state == "queued")
        found = db.session.execute(due.where(JobRow.run_after <= now())).all()
        for job_id, attempt in found:
            port(Jobs).run(job_id, attempt)
        return len(found)


def letter(app: Flask, to: str = TO) -> Letter:
    with app.app_context():
        return db.session.scalars(select(Letter).where(Letter.to == to).order_by(Letter.id.desc())).first()  # type: ignore[return-value]


def test_an_address_gets_only_so_many_letters_of_a_kind_an_hour_and_none_is_lost(app: Flask, ann: Person) -> None:
    with app.app_context():
        for _ in range(service.MOST_AN_HOUR):
            write(SYSTEM, TO)
        held = db.session.get(Letter, write(SYSTEM, TO))
        assert held is not None and held.state == "failed" and "too many" in held.error
        write(SYSTEM, "eve@example.com")
        with time_machine.travel(now() + timedelta(minutes=61)):
            later = db.session.get(Letter, write(SYSTEM, TO))
            assert later is not None and later.state == "waiting"
        service.send_again(SYSTEM, held.id)  # an administrator may
        assert db.session.get_one(Letter, held.id).state == "waiting"


class TestWithAServer:
    @pytest.fixture
    def smtp_port(self) -> int:
        return free_port()

    @pytest.fixture
    def settings(self, smtp_port: int) -> dict[str, Any]:
        server = {"smtp_host": "127.0.0.1", "smtp_port": smtp_port, "smtp_tls": "off"}
        return {**server, "smtp_from": "DevFlow <devflow@example.org>", "app_url": "https://devflow.example.org"}

    @pytest.fixture
    def sink(self, smtp_port: int, start_sink: StartSink) -> Sink:
        return start_sink(port=smtp_port)

    def test_a_letter_is_sent_once_and_what_it_said_is_forgotten(self, app: Flask, sink: Sink) -> None:
        with app.app_context():
            letter_id = write(SYSTEM, TO)
        assert (work(app), work(app)) == (1, 0)
        (arrived,) = sink.mails
        text, html = arrived.get_body(("plain",)), arrived.get_body(("html",))
        assert text is not None and html is not None
        for form in (text.get_content(), html.get_content()):
            assert "https://devflow.example.org/reset-password?token=abc" in form and "Bob" in form
        assert letter_id in arrived["Message-ID"]
        kept = letter(app)
        assert (kept.state, kept.context, kept.error) == ("sent", "", "") and kept.sent_at is not None

    def test_a_fact_heard_twice_is_one_mail(self, app: Flask, sink: Sink) -> None:
        with app.app_context():
            letter_id = write(SYSTEM, TO)
            with transaction():
                db.session.add(JobRow(kind=SEND, queue="default", subject=letter_id))
        assert work(app) == 2 and len(sink.mails) == 1

    def test_names_are_text_in_html_and_headers(self, app: Flask, sink: Sink) -> None:
        with app.app_context():
            write(SYSTEM, TO, name="<script>x</script>", subject="Join\r\nBcc: all@example.com\r\n\r\nteam")
        work(app)
        (arrived,) = sink.mails
        html = arrived.get_body(("html",))
        assert html is not None and "<script>" not in html.get_content()
        assert arrived["Subject"] == "Join Bcc: all@example.com team" and arrived["Bcc"] is None

    def test_a_server_that_is_away_is_tried_for_hours(self, app: Flask, smtp_port: int, start_sink: StartSink) -> None:
        with app.app_context():
            write(SYSTEM, TO)
        moment = now()
        for number in range(1, 8):
            with time_machine.travel(moment, tick=False):
                assert work(app) == 1, number
                assert "does not answer" in letter(app).error and letter(app).state == "waiting"
            moment += timedelta(hours=1)
        sink = start_sink(port=smtp_port)
        with time_machine.travel(moment, tick=False):
            assert work(app) == 1
        assert letter(app).state == "sent" and len(sink.mails) == 1

    def test_after_the_last_try_an_administrator_may_try_again(
        self,
        app: Flask,
        ann: Person,
        smtp_port: int,
        start_sink: StartSink,
    ) -> None:
        with app.app_context():
            letter_id = write(SYSTEM, TO)
            with transaction():
                db.session.execute(update(JobRow).where(JobRow.kind == SEND).values(attempt=ATTEMPTS))
        work(app)
        assert letter(app).state == "failed" and "does not answer" in letter(app).error
        sink = start_sink(port=smtp_port)
        assert ann.call("POST", f"/mail/letters/{letter_id}/send")["state"] == "waiting"
        ann.call("POST", f"/mail/letters/{letter_id}/send", 409)
        work(app)
        assert letter(app).state == "sent" and len([m for m in sink.mails if m["To"] == TO]) == 1

    def test_a_refused_address_is_not_tried_again(self, app: Flask, sink: Sink) -> None:
        sink.refused[TO] = "550 no such user"
        with app.app_context():
            write(SYSTEM, TO)
        assert (work(app), work(app)) == (1, 0)
        assert letter(app).state == "failed" and "no such user" in letter(app).error

    def test_a_letter_nobody_can_write_is_not_lost_silently(self, app: Flask, sink: Sink) -> None:
        with app.app_context():
            write(SYSTEM, TO)
            with transaction():
                db.session.execute(update(Letter).where(Letter.to == TO).values(template="nothing"))
        work(app)
        assert letter(app).state == "failed" and "could not be written" in letter(app).error

    def test_a_link_that_is_over_is_not_sent_any_more(self, app: Flask, sink: Sink) -> None:
        with app.app_context():
            write(SYSTEM, TO, until=now() + timedelta(minutes=5))
        with time_machine.travel(now() + timedelta(minutes=6)):
            work(app)
        assert (letter(app).state, letter(app).context, sink.mails) == ("expired", "", [])

    def test_a_test_mail_reaches_oneself(self, app: Flask, ann: Person, sink: Sink) -> None:
        sent = ann.call("POST", "/mail/test", 201)
        assert sent["to"] == ann.email and sent["state"] == "waiting"
        work(app)
        assert "Mail from DevFlow works" in [mail["Subject"] for mail in sink.mails]
        assert ann.call("GET", "/mail/letters?state=sent")[0]["to"] == ann.email


def test_without_a_server_the_link_is_in_the_log_and_kept(
    app: Flask, ann: Person, caplog: pytest.LogCaptureFixture
) -> None:
    with app.app_context():
        letter_id = write(SYSTEM, TO)
        link = f"{port(Settings).page_url}/reset-password?token=abc"
    with caplog.at_level(logging.WARNING):
        work(app)
    assert any(link in record.getMessage() and TO in record.getMessage() for record in caplog.records)
    assert ann.call("POST", f"/mail/letters/{letter_id}/link") == {"link": link}
    listed = ann.call("GET", "/mail/letters?state=kept")
    assert {found["to"] for found in listed} == {TO, ann.email}
    assert not any("token=" in str(found) for found in listed)
    assert ann.call("GET", "/audit")[0]["action"] == "mail.link_opened"


def test_a_kept_link_is_forgotten_when_it_expires(app: Flask, ann: Person) -> None:
    with app.app_context():
        letter_id = write(SYSTEM, TO, until=now() + timedelta(hours=1))
    work(app)
    with time_machine.travel(now() + timedelta(hours=2)), app.app_context():
        service.forget_old()
    assert (letter(app).state, letter(app).context) == ("expired", "")
    assert ann.call("POST", f"/mail/letters/{letter_id}/link", 409)["code"] == "INVALID_STATE"
    ann.call("POST", f"/mail/letters/{letter_id}/send", 409)
    with time_machine.travel(now() + timedelta(days=91)), app.app_context():
        service.forget_old()
        assert db.session.get(Letter, letter_id) is None


def test_only_who_stands_as_high_opens_a_link(app: Flask, ann: Person, person: Any) -> None:
    bob = person("Bob")
    with app.app_context():
        letter_id = write(SYSTEM, TO, reader=Permission.USERS_PROMOTE)
    bob.call("POST", f"/mail/letters/{letter_id}/link", 403)
    bob.call("GET", "/mail/letters", 403)
    with app.app_context():
        db.session.execute(db.text("update users set role = 'admin' where id = :id"), {"id": bob.id})
        db.session.commit()
    bob.call("GET", "/mail/letters")
    bob.call("POST", f"/mail/letters/{letter_id}/link", 403)
    ann.call("POST", f"/mail/letters/{letter_id}/link")


@pytest.mark.parametrize("template", ["verify_email", "reset_password", "password_changed", "sign_in_changed", "test"])
def test_every_mail_can_be_written_and_has_no_empty_place(app: Flask, template: str) -> None:
    with app.app_context():
        context = {"path": "/x", "name": "Bob", "when": "today", "ip": "127.0.0.1", "what": "It was changed"}
        written = vault().seal(json.dumps(context))
        made = Letter(id="1", to=TO, template=template, subject="Subject", context=written, expires_at=now())
        app.jinja_env.undefined = StrictUndefined
        message = rendered(made, port(Settings))
    assert message.text.startswith("Hello Bob") and "</html>" in message.html and "{{" not in message.html
