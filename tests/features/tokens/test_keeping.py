"""Letters before the end, and what is forgotten."""

from __future__ import annotations

from datetime import datetime, timedelta

import time_machine
from flask import Flask, render_template
from sqlalchemy import func, select

from devflow.core.clock import now
from devflow.core.db import db
from devflow.features.mail import service as mail
from devflow.features.mail.models import Letter
from devflow.features.tokens.models import ApiToken, TokenUsage, TokenValue
from devflow.features.tokens.service import keeping
from tests.conftest import Person
from tests.features.tokens.conftest import Token


def letters(app: Flask, moment: datetime) -> list[int]:
    """Let the worker tidy at this moment; the days its letters speak of."""
    with time_machine.travel(moment, tick=False), app.app_context():
        known = set(db.session.scalars(select(Letter.id)))
        db.session.rollback()
        keeping.remind()
        keeping.remind()
        rows = db.session.scalars(select(Letter).where(Letter.template == "token_expires").order_by(Letter.id))
        return [mail.contents(row, "").context["days"] for row in rows if row.id not in known]


def test_letters_come_14_7_and_1_days_before_the_end(app: Flask, ann: Person, token: Token) -> None:
    start = now()
    token(ann, expires_in_days=90)
    found = {day: letters(app, start + timedelta(days=day, hours=1)) for day in range(74, 92)}
    assert {day: days for day, days in found.items() if days} == {76: [14], 83: [7], 89: [1]}


def test_no_letter_for_what_has_ended_already(app: Flask, ann: Person, token: Token) -> None:
    start = now()
    revoked, kept = token(ann, expires_in_days=20), token(ann, expires_in_days=20)
    ann.call("DELETE", f"/dev/tokens/{revoked.id}")
    assert letters(app, start + timedelta(days=10)) == [14]
    ann.call("PATCH", f"/dev/tokens/{kept.id}/rotate", expires_in_days=300)
    assert letters(app, start + timedelta(days=19, hours=12)) == []
    assert letters(app, start + timedelta(days=290)) == [14]  # and with a new end it begins anew


def test_no_letter_to_somebody_who_is_switched_off(app: Flask, ann: Person, token: Token) -> None:
    token(ann, expires_in_days=20)
    with app.app_context():
        db.session.execute(db.text("UPDATE users SET is_active = false"))
        db.session.commit()
    assert letters(app, now() + timedelta(days=10)) == []


def test_the_letters_can_be_read(app: Flask, ann: Person) -> None:
    made = ann.call("POST", "/dev/tokens", 201, name="<b>ci</b>", expires_in_days=20)
    with time_machine.travel(now() + timedelta(days=19, hours=12)):
        assert letters(app, now()) == [1]
    ann.call("PATCH", f"/dev/tokens/{made['id']}/rotate")
    old = Person(app.test_client(), ann.id, ann.email, made["token"])
    with time_machine.travel(now() + timedelta(minutes=2)):
        old.call("GET", "/auth/verify", 401)
    with app.test_request_context():
        rows = db.session.scalars(select(Letter).where(Letter.template.like("token%")).order_by(Letter.id)).all()
        assert [row.template for row in rows] == ["token_expires", "token_reused"]
        for row in rows:
            held = mail.contents(row, "https://devflow.example.com")
            values = {**held.context, "link": held.link, "to": row.to, "subject": row.subject, "instance": "DevFlow"}
            text = render_template(f"mail/{row.template}.txt", **values)
            html = render_template(f"mail/{row.template}.html", **values)
            for written in (text, html):
                assert f"https://devflow.example.com/settings/tokens/{made['id']}" in written
                assert "Hello Ann" in written and "UTC" in written and made["token"] not in written
            assert "<b>ci</b>" in text and "&lt;b&gt;ci&lt;/b&gt;" in html


def test_what_ended_long_ago_is_forgotten(app: Flask, ann: Person, token: Token) -> None:
    token(ann, expires_in_days=1)
    live = token(ann, expires_in_days=365)
    live.call("GET", "/auth/verify")
    ann.call("GET", f"/dev/tokens/{live.id}/usage")
    with time_machine.travel(now() + timedelta(days=80)), app.app_context():
        assert keeping.forget_old() == 0
    with time_machine.travel(now() + timedelta(days=101)), app.app_context():
        assert keeping.forget_old() == 1
        assert db.session.scalars(select(ApiToken.id)).all() == [live.id]
        assert db.session.scalar(select(func.count()).select_from(TokenValue)) == 1
        assert db.session.scalar(select(func.count()).select_from(TokenUsage)) == 0
