"""Two-factor sign-in and re-authentication, over both doors."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp
import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from devflow.core.db import db
from devflow.features.accounts.models import LoginSession, RecoveryCode, SecondFactor
from devflow.features.mail.models import Letter
from tests.conftest import PASSWORD, Person, csrf

STEP = timedelta(seconds=30)


@pytest.fixture
def clock() -> Any:
    """A clock that stands still at the beginning of a time step until it is moved."""
    here = datetime.now(UTC).replace(microsecond=0)
    with time_machine.travel(here - timedelta(seconds=here.timestamp() % 30), tick=False) as traveller:
        yield traveller


@pytest.fixture
def factor(ann: Person, clock: Any) -> tuple[pyotp.TOTP, list[str]]:
    """Ann's authenticator app and recovery codes; a step later, so that the next code is a fresh one."""
    app = pyotp.TOTP(ann.call("POST", "/auth/two-factor")["secret"])
    codes = ann.call("POST", "/auth/two-factor/confirm", code=app.now())["recovery_codes"]
    clock.shift(STEP)
    return app, codes


def login(app: Flask, who: Person, **more: Any) -> Any:
    body = {"email": who.email, "password": PASSWORD, **more}
    return app.test_client().post("/api/v1/auth/login", json=body)


def test_setting_it_up_shows_the_codes_once(app: Flask, ann: Person, clock: Any) -> None:
    setup = ann.call("POST", "/auth/two-factor")
    assert setup["uri"].startswith("otpauth://totp/DevFlow") and setup["secret"] in setup["uri"]
    assert setup["qr"].startswith("data:image/svg+xml")
    assert login(app, ann).status_code == 200  # it does not count before it is confirmed
    assert ann.call("POST", "/auth/two-factor/confirm", 422, code="000000")["code"] == "VALIDATION_ERROR"
    codes = ann.call("POST", "/auth/two-factor/confirm", code=pyotp.TOTP(setup["secret"]).now())["recovery_codes"]
    assert len(set(codes)) == 10 and all(re.fullmatch(r"[a-z2-7]{5}-[a-z2-7]{5}", code) for code in codes)
    state = ann.call("GET", "/auth/two-factor")
    assert state["enabled"] is True and state["recovery_codes_left"] == 10
    assert ann.call("POST", "/auth/two-factor", 409)["code"] == "CONFLICT"
    with app.app_context():
        row = db.session.scalars(select(SecondFactor)).one()
        assert setup["secret"] not in row.secret
        kept = set(db.session.scalars(select(RecoveryCode.digest)))
        assert not kept & set(codes)
    assert setup["secret"] not in str(ann.call("GET", "/audit"))


def test_the_code_is_asked_for_only_after_the_right_password(
    app: Flask, ann: Person, factor: tuple[pyotp.TOTP, list[str]]
) -> None:
    wrong = login(app, ann, password="wrong", code=factor[0].now())
    assert wrong.status_code == 401 and wrong.get_json()["error"]["code"] == "AUTHENTICATION_FAILED"
    answer = login(app, ann)
    error = answer.get_json()["error"]
    assert answer.status_code == 401 and error["code"] == "TWO_FACTOR_REQUIRED"
    assert error["details"]["methods"] == ["totp", "recovery_code"]
    assert login(app, ann, code=factor[0].now()).status_code == 200


def test_a_code_works_once_and_one_step_around(
    app: Flask, ann: Person, factor: tuple[pyotp.TOTP, list[str]], clock: Any
) -> None:
    totp = factor[0]
    code = totp.now()
    assert login(app, ann, code=f" {code[:3]} {code[3:]} ").status_code == 200
    assert login(app, ann, code=code).status_code == 401
    moment = datetime.now(UTC)
    assert login(app, ann, code=totp.at(moment + 2 * STEP)).status_code == 401
    assert login(app, ann, code=totp.at(moment + STEP)).status_code == 200  # a phone whose clock is fast
    clock.shift(4 * STEP)
    moment = datetime.now(UTC)
    assert login(app, ann, code=totp.at(moment - 2 * STEP)).status_code == 401
    assert login(app, ann, code=totp.at(moment - STEP)).status_code == 200


def test_a_clock_that_was_wrong_locks_nobody_out(
    app: Flask, ann: Person, factor: tuple[pyotp.TOTP, list[str]], clock: Any
) -> None:
    there = datetime.now(UTC)
    clock.move_to(there + timedelta(days=365))
    assert login(app, ann, code=factor[0].now()).status_code == 200
    clock.move_to(there)
    assert login(app, ann, code=factor[0].now()).status_code == 200
    assert login(app, ann, code=factor[0].now()).status_code == 401


@pytest.mark.parametrize("kind", ["totp", "recovery"])
def test_a_code_sent_many_times_at_once_opens_one_session(
    app: Flask, ann: Person, factor: tuple[pyotp.TOTP, list[str]], kind: str
) -> None:
    code = factor[0].now() if kind == "totp" else factor[1][0]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: login(app, ann, code=code).status_code, range(6)))
    assert sorted(answers) == [200, 401, 401, 401, 401, 401]


def test_a_recovery_code_works_once_however_it_is_typed(
    app: Flask, ann: Person, factor: tuple[pyotp.TOTP, list[str]]
) -> None:
    code = factor[1][3]
    assert login(app, ann, code=code.upper().replace("-", " ")).status_code == 200
    assert login(app, ann, code=code).status_code == 401
    assert ann.call("GET", "/auth/two-factor")["recovery_codes_left"] == 9


@pytest.mark.parametrize("code", ["", "12345", "１２３４５６", "٠١٢٣٤٥", "'; drop table users; --", "é" * 6, "0" * 41])
def test_rubbish_is_no_code(app: Flask, ann: Person, factor: tuple[pyotp.TOTP, list[str]], code: str) -> None:
    assert login(app, ann, code=code).status_code in (401, 422)


def test_somebody_elses_code_is_worth_nothing(
    app: Flask, ann: Person, person: Callable[..., Person], factor: tuple[pyotp.TOTP, list[str]], clock: Any
) -> None:
    bob = person("Bob")
    secret = bob.call("POST", "/auth/two-factor")["secret"]
    bob.call("POST", "/auth/two-factor/confirm", code=pyotp.TOTP(secret).now())
    clock.shift(STEP)
    assert login(app, bob, code=factor[0].now()).status_code == 401
    assert login(app, bob, code=factor[1][0]).status_code == 401
    assert login(app, bob, code=pyotp.TOTP(secret).now()).status_code == 200


def test_codes_are_guessed_a_few_times_only(app: Flask, ann: Person, factor: tuple[pyotp.TOTP, list[str]]) -> None:
    answers = [login(app, ann, code="000000") for _ in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 60
    assert login(app, ann, code=factor[0].now()).status_code == 429


def test_new_recovery_codes_replace_the_old_ones(app: Flask, ann: Person, factor: tuple[pyotp.TOTP, list[str]]) -> None:
    fresh = ann.call("POST", "/auth/two-factor/recovery-codes")["recovery_codes"]
    assert not set(fresh) & set(factor[1])
    assert login(app, ann, code=factor[1][0]).status_code == 401
    assert login(app, ann, code=fresh[0]).status_code == 200


def test_switching_it_off_takes_a_code(app: Flask, ann: Person, factor: tuple[pyotp.TOTP, list[str]]) -> None:
    assert ann.call("DELETE", "/auth/two-factor", 422, code="123456")["code"] == "VALIDATION_ERROR"
    ann.call("DELETE", "/auth/two-factor", code=factor[1][9])
    assert ann.call("GET", "/auth/two-factor")["enabled"] is False
    assert login(app, ann).status_code == 200


def test_the_owner_is_told_by_mail(app: Flask, ann: Person, factor: tuple[pyotp.TOTP, list[str]]) -> None:
    ann.call("POST", "/auth/two-factor/recovery-codes")
    ann.call("DELETE", "/auth/two-factor", code=factor[0].now())
    with app.app_context():
        mine = select(Letter.subject).where(Letter.to == ann.email, Letter.template == "sign_in_changed")
        assert list(db.session.scalars(mine.order_by(Letter.id))) == [
            "Two-factor sign-in was switched on",
            "New recovery codes were made",
            "Two-factor sign-in was switched off",
        ]


def test_an_api_token_cannot_change_how_its_owner_signs_in(app: Flask, ann: Person) -> None:
    made = ann.call("POST", "/dev/tokens", 201, name="robot", scopes=["read", "write"])
    robot = Person(app.test_client(), ann.id, ann.email, made["token"])
    refused = [
        robot.call("POST", "/auth/two-factor", 403), robot.call("POST", "/github/connect", 403),
        robot.call("POST", "/auth/confirm", 403, password=PASSWORD),
    ]  # fmt: skip
    assert {error["code"] for error in refused} == {"AUTHORIZATION_FAILED", "FORBIDDEN"}
    secret = ann.call("POST", "/auth/two-factor")["secret"]
    bearer = {"Authorization": f"Bearer {robot.token}"}
    assert secret not in robot.client.get("/settings/two-factor/setup", headers=bearer).text


def stale(app: Flask) -> None:
    """Everybody signed in hours ago."""
    with app.app_context():
        for row in db.session.scalars(select(LoginSession)):
            row.proved_at -= timedelta(hours=2)
        db.session.commit()


def test_dangerous_acts_ask_who_is_there_after_a_while(app: Flask, ann: Person) -> None:
    stale(app)
    assert ann.call("POST", "/auth/two-factor", 403)["code"] == "REAUTHENTICATION_REQUIRED"
    assert ann.call("POST", "/auth/confirm", 401, password="wrong")["code"] == "AUTHENTICATION_FAILED"
    assert ann.call("POST", "/auth/two-factor", 403)["code"] == "REAUTHENTICATION_REQUIRED"
    assert ann.call("POST", "/auth/confirm", 422)["code"] == "VALIDATION_ERROR"
    ann.call("POST", "/auth/confirm", password=PASSWORD)
    ann.call("POST", "/auth/two-factor")


def test_a_code_confirms_too(app: Flask, ann: Person, factor: tuple[pyotp.TOTP, list[str]]) -> None:
    stale(app)
    ann.call("POST", "/auth/confirm", code=factor[0].now())
    ann.call("POST", "/auth/two-factor/recovery-codes")


def test_confirming_counts_for_one_session_only(app: Flask, ann: Person) -> None:
    other = login(app, ann).get_json()["data"]["access_token"]
    stale(app)
    ann.call("POST", "/auth/confirm", password=PASSWORD)
    answer = ann.client.post("/api/v1/auth/two-factor", headers={"Authorization": f"Bearer {other}"})
    assert answer.status_code == 403


# The same in the browser


def post(client: FlaskClient, path: str, **data: str) -> Any:
    page = client.get("/settings/github").text
    token = page[page.index('name="csrf_token"') :].split('value="', 1)[1].split('"', 1)[0]
    return client.post(path, data={"csrf_token": token, **data})


def test_the_whole_way_in_a_browser(
    app: Flask, ann: Person, browser: Callable[[Person], FlaskClient], clock: Any
) -> None:
    client = browser(ann)
    assert "Two-factor sign-in" in client.get("/settings/security").text
    assert post(client, "/settings/two-factor").location == "/settings/two-factor/setup"
    page = client.get("/settings/two-factor/setup").text
    totp = pyotp.TOTP(re.search(r'data-copy="([A-Z2-7]{32})"', page)[1])  # type: ignore[index]
    assert "data:image/svg+xml" in page
    assert post(client, "/settings/two-factor/setup", code="000000").status_code == 422
    shown = post(client, "/settings/two-factor/setup", code=totp.now())
    codes = re.findall(r"<li>([a-z2-7]{5}-[a-z2-7]{5})</li>", shown.text)
    assert len(codes) == 10 and shown.headers["Cache-Control"] == "no-store"
    assert client.get("/settings/two-factor/setup").status_code == 303  # never again
    clock.shift(STEP)

    fresh = app.test_client()
    form = {"email": ann.email, "password": PASSWORD, "remember_me": "1", "csrf_token": csrf(fresh)}
    answer = fresh.post("/login?next=/projects", data=form)
    assert answer.location == "/login/code?next=/projects"
    assert fresh.get("/dashboard").status_code == 302  # not in yet
    assert fresh.post("/login/code?next=/projects", data=form | {"code": "000000"}).status_code == 422
    answer = fresh.post("/login/code?next=/projects", data=form | {"code": totp.now()})
    assert answer.location == "/projects" and fresh.get("/projects").status_code == 200

    assert post(client, "/settings/two-factor/off", code=codes[0]).location == "/settings/security"
    assert ann.call("GET", "/auth/two-factor")["enabled"] is False


def test_the_second_page_leads_nowhere_without_the_first_and_not_for_long(
    app: Flask, ann: Person, factor: tuple[pyotp.TOTP, list[str]], clock: Any
) -> None:
    client = app.test_client()
    assert client.get("/login/code").location == "/login"
    form = {"email": ann.email, "password": PASSWORD, "csrf_token": csrf(client)}
    assert client.post("/login", data=form).location == "/login/code"
    clock.shift(timedelta(minutes=6))
    assert client.post("/login/code", data=form | {"code": factor[0].now()}).location == "/login"


def test_a_browser_confirms_and_comes_back(app: Flask, ann: Person, browser: Callable[[Person], FlaskClient]) -> None:
    client = browser(ann)
    form = {"csrf_token": csrf_of(client)}
    stale(app)
    back = {"Referer": "http://localhost/settings/security"}
    answer = client.post("/settings/two-factor", data=form, headers=back)
    assert answer.status_code == 303 and answer.location == "/confirm?next=/settings/security"
    by_htmx = client.post("/settings/two-factor", data=form, headers={**back, "HX-Request": "true"})
    assert by_htmx.status_code == 204 and by_htmx.headers["HX-Redirect"] == answer.location
    elsewhere = client.post("/settings/two-factor", data=form, headers={"Referer": "http://evil.example/x"})
    assert elsewhere.location == "/confirm"
    assert client.post(answer.location, data=form | {"password": "wrong"}).status_code == 422
    assert client.post(answer.location, data=form | {"password": PASSWORD}).location == "/settings/security"
    assert client.post("/settings/two-factor", data=form).location == "/settings/two-factor/setup"


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_confirming_leads_nowhere_else(
    app: Flask, ann: Person, browser: Callable[[Person], FlaskClient], target: str
) -> None:
    client = browser(ann)
    form = {"csrf_token": csrf_of(client), "password": PASSWORD}
    assert client.post("/confirm", query_string={"next": target}, data=form).location == "/dashboard"


def csrf_of(client: FlaskClient) -> str:
    page = client.get("/settings/github").text
    return page[page.index('name="csrf_token"') :].split('value="', 1)[1].split('"', 1)[0]
