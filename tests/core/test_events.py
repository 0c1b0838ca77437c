"""The outbox: a fact is heard after the commit, at least once, whatever fails in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update

from devflow.core import events
from devflow.core.access import SYSTEM, Permission
from devflow.core.clock import now
from devflow.core.db import db, transaction
from devflow.core.events import OutboxRow
from devflow.core.use_case import emit, use_case

AT_ONCE = timedelta()


@events.fact
@dataclass(frozen=True)
class LampLit:
    colour: str


@events.fact
@dataclass(frozen=True)
class LampOut:
    colour: str


class Heard:
    """What the listeners heard, and whether the second one fails."""

    first: list[str] = []
    second: list[str] = []
    failing = False


def _first(fact: LampLit | LampOut) -> None:
    Heard.first.append(fact.colour)


events.on(LampLit)(_first)
events.on(LampOut)(_first)


@events.on(LampLit)
def _second(fact: LampLit) -> None:
    if Heard.failing:
        raise ValueError("too dark")
    Heard.second.append(fact.colour)


@use_case(Permission.DEPLOYMENTS_RUN)
def _light(actor: object, colour: str, *, then_fail: bool = False) -> None:
    emit(LampLit(colour))
    assert Heard.first == [], "nobody hears of it before the commit"
    if then_fail:
        raise RuntimeError("no oil")


@pytest.fixture(autouse=True)
def _context(app: Flask) -> Iterator[None]:
    Heard.first, Heard.second, Heard.failing = [], [], False
    with app.app_context():
        yield


def only_row() -> OutboxRow:
    db.session.rollback()
    db.session.expire_all()
    return db.session.scalars(select(OutboxRow)).one()


def left_behind(*facts: object) -> None:
    """Committed, but the process died before anybody heard."""
    with transaction():
        for fact in facts:
            events.write(fact)


def due_now() -> None:
    with transaction():
        db.session.execute(update(OutboxRow).values(due_at=now()))


def test_a_fact_is_heard_after_the_commit_and_marked() -> None:
    _light(SYSTEM, "red")
    assert Heard.first == Heard.second == ["red"]
    assert only_row().delivered_at is not None
    assert events.sweep(AT_ONCE) == 0 and Heard.first == ["red"]


def test_a_fact_of_a_transaction_that_failed_never_happened() -> None:
    with pytest.raises(RuntimeError, match="no oil"):
        _light(SYSTEM, "red", then_fail=True)
    assert Heard.first == [] and db.session.scalars(select(OutboxRow)).all() == []


def test_emitting_outside_a_use_case_is_a_mistake() -> None:
    with pytest.raises(RuntimeError, match="inside a use case"):
        emit(LampLit("red"))


def test_the_sweep_delivers_what_a_crash_left_behind_once() -> None:
    left_behind(LampLit("red"), LampOut("blue"))
    assert events.sweep(timedelta(minutes=1)) == 0, "young facts are still in the hands of their process"
    assert events.sweep(AT_ONCE) == 2
    assert Heard.first == ["red", "blue"] and Heard.second == ["red"]
    assert events.sweep(AT_ONCE) == 0


def test_a_failing_listener_postpones_its_fact_and_no_other() -> None:
    Heard.failing = True
    left_behind(LampLit("red"), LampOut("blue"))
    events.sweep(AT_ONCE)
    assert Heard.first == ["red", "blue"] and Heard.second == []
    waiting = db.session.scalars(select(OutboxRow).where(OutboxRow.delivered_at.is_(None))).one()
    assert waiting.kind == "LampLit" and waiting.attempts == 1
    assert waiting.error is not None and "_second: too dark" in waiting.error
    assert waiting.due_at > now() and events.sweep(AT_ONCE) == 0
    Heard.failing = False
    due_now()
    assert events.sweep(AT_ONCE) == 1
    assert Heard.second == ["red"] and Heard.first == ["red", "blue", "red"], "at least once: listeners are idempotent"


def test_a_fact_nobody_can_take_is_put_aside_with_its_reason() -> None:
    Heard.failing = True
    left_behind(LampLit("red"))
    for attempt in range(1, events.MAX_ATTEMPTS + 1):
        due_now()
        assert events.sweep(AT_ONCE) == 1
        assert only_row().attempts == attempt
    assert only_row().delivered_at is not None and "too dark" in (only_row().error or "")
    due_now()
    assert events.sweep(AT_ONCE) == 0


def test_a_fact_of_a_newer_version_waits_for_it() -> None:
    with transaction():
        db.session.add(OutboxRow(kind="LampPolished", payload={}))
    assert events.sweep(AT_ONCE) == 1
    assert only_row().delivered_at is None and "LampPolished" in (only_row().error or "")


def test_a_fact_that_was_written_otherwise_holds_up_no_other() -> None:
    with transaction():
        db.session.add(OutboxRow(kind="LampLit", payload={"hue": "red"}))
    left_behind(LampOut("blue"))
    assert events.sweep(AT_ONCE) == 2 and Heard.first == ["blue"]
    waiting = db.session.scalars(select(OutboxRow).where(OutboxRow.delivered_at.is_(None))).one()
    assert waiting.attempts == 1 and "cannot be read" in (waiting.error or "")


def test_facts_delivered_long_ago_are_forgotten() -> None:
    left_behind(LampLit("red"), LampOut("blue"))
    events.sweep(AT_ONCE)
    assert events.forget_old() == 0
    with transaction():
        long_ago = now() - events.KEPT - timedelta(seconds=1)
        db.session.execute(update(OutboxRow).where(OutboxRow.kind == "LampLit").values(delivered_at=long_ago))
    assert events.forget_old() == 1 and only_row().kind == "LampOut"


def test_two_facts_of_one_name_are_refused() -> None:
    double = type("LampLit", (), {"__module__": "elsewhere"})
    with pytest.raises(TypeError, match="LampLit"):
        events.fact(double)
