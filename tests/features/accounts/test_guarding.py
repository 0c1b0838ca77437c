"""Guessing is slowed down, and nobody can use that to lock somebody else out."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from devflow.adapters.tries import CountedTries
from devflow.core.db import db
from devflow.features.accounts.models import LoginSession
from devflow.features.accounts.schemas.fields import email_address
from devflow.features.accounts.service import guarding
from devflow.ports.tries import Tries
from tests.conftest import PASSWORD, Person, csrf


def attempt(client: FlaskClient, email: str, password: str = "wrong", ip: str = "192.0.2.1") -> Any:
    body = {"email": email, "password": password}
    return client.post("/api/v1/auth/login", json=body, environ_base={"REMOTE_ADDR": ip})


@pytest.mark.parametrize("email", ["ann@example.com", "nobody@example.com", "Ann@Example.com ", "ａnn@example.com"])
def test_an_address_may_try_a_few_times_known_account_or_not(app: Flask, ann: Person, email: str) -> None:
    answers = [attempt(app.test_client(), email) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    error = answers[-1].get_json()["error"]
    assert error["code"] == "RATE_LIMIT_EXCEEDED" and 60 < int(answers[-1].headers["Retry-After"]) <= 900
    assert attempt(app.test_client(), ann.email, PASSWORD, ip="192.0.2.2").status_code == 200


def test_one_caller_with_many_ipv6_addresses_cannot_lock_the_owner_out(app: Flask, ann: Person) -> None:
    answers = [attempt(app.test_client(), ann.email, ip=f"2001:db8::{number:x}").status_code for number in range(120)]
    assert answers == [401] * 10 + [429] * 110
    assert attempt(app.test_client(), ann.email, PASSWORD, ip="192.0.2.2").status_code == 200


def test_spellings_of_an_address_are_counted_together(app: Flask, ann: Person) -> None:
    for email in ["ann@example.com", "ANN@example.com", " ann@example.com", "ａnn@example.com", "Ann@example.com"] * 2:
        assert attempt(app.test_client(), email).status_code == 401
    assert attempt(app.test_client(), "ann@EXAMPLE.com").status_code == 429


def test_many_at_once_are_many(app: Flask, ann: Person) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: attempt(app.test_client(), ann.email).status_code, range(16)))
    assert sorted(answers) == [401] * 10 + [429] * 6


def test_the_wait_ends(app: Flask, ann: Person) -> None:
    for _ in range(11):
        attempt(app.test_client(), ann.email)
    with time_machine.travel(timedelta(minutes=16), tick=True):
        assert attempt(app.test_client(), ann.email, PASSWORD).status_code == 200


def test_the_right_password_starts_the_count_anew(app: Flask, ann: Person) -> None:
    for _ in range(2):
        for _ in range(9):
            assert attempt(app.test_client(), ann.email).status_code == 401
        assert attempt(app.test_client(), ann.email, PASSWORD).status_code == 200


def test_guessing_from_everywhere_does_not_lock_the_owner_out(
    app: Flask, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarding, "PER_ACCOUNT", 20)
    own = app.test_client()
    assert attempt(own, ann.email, PASSWORD, ip="198.51.100.7").status_code == 200  # leaves the device cookie
    cookie = own.get_cookie("devflow_device")
    assert cookie is not None and cookie.http_only and cookie.same_site == "Lax"
    answers = [attempt(app.test_client(), ann.email, ip=f"192.0.2.{number}").status_code for number in range(22)]
    assert answers == [401] * 20 + [429] * 2
    assert attempt(app.test_client(), ann.email, PASSWORD, ip="192.0.2.99").status_code == 429  # a device nobody knows
    assert attempt(own, ann.email, PASSWORD, ip="203.0.113.5").status_code == 200  # at home or on the way


def test_a_known_device_has_a_limit_too(app: Flask, ann: Person) -> None:
    own = app.test_client()
    attempt(own, ann.email, PASSWORD)
    answers = [attempt(own, ann.email, ip=f"192.0.2.{number}").status_code for number in range(11)]
    assert answers == [401] * 10 + [429]


@pytest.mark.parametrize("forged", ["", ".", "x.y", "a" * 400, "nonce." + "0" * 32, "é.é", "....."])
def test_a_forged_device_is_unknown(app: Flask, ann: Person, forged: str) -> None:
    with app.app_context():
        assert guarding.Guard(CountedTries(), forged).knows(ann.id) is False


def test_a_device_knows_several_people_but_none_for_another(
    app: Flask, ann: Person, person: Callable[..., Person]
) -> None:
    bob, shared = person("Bob"), app.test_client()
    attempt(shared, ann.email, PASSWORD)
    attempt(shared, bob.email, PASSWORD)
    cookie = shared.get_cookie("devflow_device")
    assert cookie is not None
    with app.app_context():
        guard = guarding.Guard(CountedTries(), cookie.value)
        assert guard.knows(ann.id) and guard.knows(bob.id) and not guard.knows("somebody else")


def test_every_failure_is_in_the_ledger_with_the_address(app: Flask, ann: Person) -> None:
    for email in (ann.email, "nobody@example.com"):
        attempt(app.test_client(), email, ip="203.0.113.77")  # repeats from one address are written once a minute
    entries = [entry for entry in ann.call("GET", "/audit") if entry["action"] == "account.sign_in_failed"]
    assert [entry["resource_name"] for entry in entries] == ["nobody@example.com", ann.email]
    assert "wrong" not in str(entries)


def test_a_browser_is_told_at_the_form_and_stays_where_it_was(app: Flask, ann: Person) -> None:
    client = app.test_client()
    form = {"email": ann.email, "password": "wrong", "csrf_token": csrf(client)}
    first = client.post("/login?next=/projects", data=form)
    assert first.status_code == 422 and "do not belong together" in first.text
    assert 'action="/login?next=/projects"' in first.text
    field = first.text[first.text.index('id="f-password"') :]
    assert "autofocus" in field[: field.index(">")]
    for _ in range(10):
        last = client.post("/login", data=form)
    assert last.status_code == 422 and "Too many tries" in last.text


def test_tries_are_counted_when_redis_does_not_answer() -> None:
    tries: Tries = CountedTries("redis://127.0.0.1:1/0")
    assert [bool(tries.take("x", 2, 60)) for _ in range(3)] == [False, False, True]
    tries.forgive("x", 2, 60)
    assert tries.take("x", 2, 60) == 0


@pytest.mark.parametrize(
    "look_alike",
    ["аnn@example.com", "ann@exаmple.com", "ann@example.cоm", "ann\u200b@example.com", "ann\u202e@example.com",
     "ann@xn--", "ann@exam\u00adple.com", "ann@example.com\r\nBcc: eve@example.com", "ann@example..com"],
)  # fmt: skip
def test_a_look_alike_address_is_no_address(look_alike: str) -> None:
    with pytest.raises(ValueError, match="e-mail address"):
        email_address(look_alike)


@pytest.mark.parametrize(
    "spelt", ["ANN@EXAMPLE.COM", "ａｎｎ@ｅｘａｍｐｌｅ．ｃｏｍ", " ann@example.com\t", "𝐚nn@example.com"]
)
def test_other_spellings_of_the_same_letters_are_the_same_address(spelt: str) -> None:
    assert email_address(spelt) == "ann@example.com"


def test_a_refused_sign_in_opens_no_session(app: Flask, ann: Person) -> None:
    with app.app_context():
        before = len(list(db.session.scalars(select(LoginSession))))
    for _ in range(12):
        attempt(app.test_client(), ann.email)
    with app.app_context():
        assert len(list(db.session.scalars(select(LoginSession)))) == before
