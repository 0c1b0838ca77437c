"""The worker's own checks of the chain: what they read, what they remember, and whom they tell."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, text

from devflow.core.access import SYSTEM
from devflow.core.clock import now
from devflow.core.db import db, transaction
from devflow.core.jobs import JobRow, Jobs
from devflow.core.settings import Settings
from devflow.features.accounts.models import User
from devflow.features.audit import service as audit
from devflow.features.audit import tasks
from devflow.features.audit.models import Check, Entry
from devflow.features.audit.rules.times import whole_is_due
from devflow.features.audit.service import keeping, sealed, walking
from devflow.features.mail import service as mail
from devflow.features.mail import tasks as posting
from devflow.features.mail.models import Letter
from devflow.ports.doctor import Doctor
from devflow.web.ports import port
from tests.conftest import Person
from tests.features.audit.old_entries import unlocked, write

pytestmark = pytest.mark.usefixtures("within")


@pytest.fixture
def settings(each_store: dict[str, Any]) -> dict[str, Any]:
    return {**each_store, "audit_retention_days": 90}


def run(kind: str = tasks.VERIFY) -> Any:
    """Let the worker do what waits for it; how it ended."""
    waiting = list(db.session.scalars(select(JobRow.id).where(JobRow.kind == kind, JobRow.state == "queued")))
    db.session.rollback()
    assert len(waiting) == 1
    port(Jobs).run(waiting[0], 1)
    ended = db.session.execute(select(JobRow.state, JobRow.attempt, JobRow.error).where(JobRow.id == waiting[0])).one()
    db.session.rollback()
    return ended


def hourly(whole: bool = False) -> Check:
    """One check as the worker makes it."""
    port(Jobs).submit(tasks.VERIFY, "audit", whole=whole, gently=True)
    assert run().state == "done"
    found = keeping.latest()
    assert found is not None
    return found


def letters() -> list[Letter]:
    found = list(db.session.scalars(select(Letter).where(Letter.template == "audit_broken").order_by(Letter.id)))
    db.session.expunge_all()
    return found


def read_numbers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the entries that are read from now on."""
    seen: list[int] = []
    chunk = walking.chunk

    def watched(after: int, upto: int, most: int = walking.CHUNK) -> Any:
        found = chunk(after, upto, most)
        seen.extend(raw[0] for raw in found)
        return found

    monkeypatch.setattr(walking, "chunk", watched)
    return seen


def test_an_hourly_check_reads_what_is_new_and_a_nightly_one_all(monkeypatch: pytest.MonkeyPatch) -> None:
    write(5)
    first = hourly()
    assert (first.number, first.entries, first.fault) == (5, 5, "") and first.whole_at is not None
    write(2)
    seen = read_numbers(monkeypatch)
    with time_machine.travel(now() + timedelta(hours=1)):
        second = hourly()
    assert seen == [6, 7] and second.number == 7
    assert second.whole_at == first.whole_at and second.checked_at > first.checked_at
    seen.clear()
    with time_machine.travel(now() + timedelta(hours=2)):
        third = hourly(whole=True)
    assert seen == [1, 2, 3, 4, 5, 6, 7] and third.entries == 7 and third.whole_at == third.checked_at
    assert db.session.scalar(select(Entry.id).where(Entry.action == "audit.verified")) is None, "no entry every hour"


def test_a_broken_chain_is_in_the_log_and_told_to_administrators_once(
    app: Flask, ann: Person, person: Callable[..., Person], caplog: pytest.LogCaptureFixture
) -> None:
    bob, off, _ = person("Bob"), person("Off"), person("Cleo")
    db.session.execute(text(f"update users set role = 'admin' where id in ('{bob.id}', '{off.id}')"))
    db.session.execute(text(f"update users set is_active = false where id = '{off.id}'"))
    db.session.commit()
    write(5)
    assert hourly().fault == ""
    unlocked("update audit_logs set ip = 'x' where number = 2")
    assert hourly().fault == "", "what was read before is read again at night only"
    with caplog.at_level(logging.ERROR):
        assert hourly(whole=True).fault_number == 2
    assert "The chain of the audit is broken: Entry 2 (" in caplog.text
    told = letters()
    assert [letter.to for letter in told] == ["ann@example.com", "bob@example.com"], "who administers, and is there"
    hourly(), hourly(whole=True)
    assert len(letters()) == 2, "once"
    entries = db.session.scalars(select(Entry).where(Entry.action == "audit.verified")).all()
    assert [entry.changes["outcome"] for entry in entries] == ["broken at entry 2"]
    with app.test_request_context():
        message = posting.rendered(told[0], port(Settings))
    for form in (message.text, message.html):
        assert "Entry 2 (" in form and "/admin/audit" in form and "Keep a copy" in form.replace("\n", " ")
    assert mail.contents(told[0], "").context["name"] == "Ann"
    assert db.session.scalar(select(User.id).where(User.id == off.id)) == off.id


def test_after_it_was_mended_a_new_fault_is_told_again() -> None:
    write(3)
    before = db.session.scalar(select(Entry.ip).where(Entry.number == 2))
    unlocked("update audit_logs set ip = 'x' where number = 2")
    assert hourly().fault_number == 2
    unlocked(f"update audit_logs set ip = '{before}' where number = 2")
    assert hourly().fault == "", "with a fault known, every check reads all of it"
    unlocked("update audit_logs set ip = 'x' where number = 3")
    assert hourly(whole=True).fault_number == 3
    outcomes = select(Entry.changes).where(Entry.action == "audit.verified").order_by(Entry.number)
    assert [c["outcome"] for c in db.session.scalars(outcomes)] == ["broken at entry 2", "whole", "broken at entry 3"]


def test_newest_entries_that_are_cut_off_cleanly_are_missed_by_the_next_check() -> None:
    write(6)
    hourly()
    unlocked(
        "delete from audit_logs where number > 4",
        "update audit_head set number = 4, hash = (select hash from audit_logs where number = 4)",
    )
    found = hourly()
    assert found.fault_kind == "expected" and "Entry 6 was there" in found.fault


def test_a_check_that_somebody_else_wrote_down_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    write(4)
    hourly()
    unlocked("update audit_logs set ip = 'x' where number = 2")
    hourly(whole=True)
    unlocked("update audit_checks set fault = '', fault_kind = '', fault_number = null")
    assert keeping.latest() is None
    seen = read_numbers(monkeypatch)
    assert hourly().fault_number == 2 and 1 in seen, "so the next one reads all of it"


def test_entries_that_left_between_two_checks_are_no_fault() -> None:
    write(4, days_ago=200)
    write(1)
    hourly()
    port(Jobs).submit(tasks.ARCHIVE, "audit")
    assert run(tasks.ARCHIVE).state == "done"
    assert [archive.entries for archive in sealed.archives()] == [4]
    found = hourly()
    assert (found.fault, found.number) == ("", 6)
    found = hourly(whole=True)
    assert (found.fault, found.entries, found.absent) == ("", 2, 0)
    path: Path = tasks.folder_of(port(Settings)) / sealed.archives()[0].file
    path.rename(path.with_name("elsewhere"))
    assert hourly(whole=True).absent == 1
    path.write_bytes(b"forged")
    found = hourly(whole=True)
    assert found.fault_kind == "archive" and len(letters()) == 0, "nobody administers here yet"


def test_all_of_it_may_leave_between_two_checks() -> None:
    write(4, days_ago=200)
    hourly()
    port(Jobs).submit(tasks.ARCHIVE, "audit")
    run(tasks.ARCHIVE)
    assert hourly().fault == "" and hourly(whole=True).fault == ""


def test_an_archive_that_cannot_be_written_is_tried_again_and_says_why() -> None:
    write(4, days_ago=200)
    tasks.folder_of(port(Settings)).write_text("in the way")
    port(Jobs).submit(tasks.ARCHIVE, "audit")
    job = run(tasks.ARCHIVE)
    assert (job.state, job.attempt) == ("queued", 2) and "They stay where they are" in (job.error or "")


def test_the_worker_plans_one_check_an_hour_and_one_archive_a_day() -> None:
    def planned(moment: datetime) -> list[str]:
        with time_machine.travel(moment, tick=False):
            tasks.plan()
            tasks.plan()
            waiting = db.session.scalars(select(JobRow).where(JobRow.state == "queued").order_by(JobRow.kind)).all()
            for row in waiting:
                row.state = "done"
            db.session.commit()
            return [row.kind + (" whole" if row.payload.get("whole") else "") for row in waiting]

    day = datetime(2030, 5, 1, 12, 5, tzinfo=UTC)
    assert planned(day) == ["audit.archive", "audit.verify whole"], "the first one reads all"
    assert planned(day + timedelta(minutes=20)) == []
    assert planned(day + timedelta(hours=1)) == ["audit.verify whole"]
    assert planned(day + timedelta(days=1)) == ["audit.archive", "audit.verify whole"]


@pytest.mark.parametrize(
    ("since", "hour", "due"),
    [(None, 12, True), (6, 3, False), (24, 3, True), (24, 12, False), (47, 23, False), (49, 12, True), (-5, 12, True)],
)
def test_all_of_it_is_read_once_a_night(since: int | None, hour: int, due: bool) -> None:
    at = datetime(2030, 5, 1, hour, tzinfo=UTC)
    assert whole_is_due(None if since is None else at - timedelta(hours=since), at) is due


def test_the_doctor_says_what_the_checks_found() -> None:
    def told() -> SimpleNamespace:
        found = [check for check in port(Doctor).checks() if check.name == "Audit"]
        assert len(found) == 1
        return SimpleNamespace(**vars(found[0]))

    write(2)
    assert told().state == "ok" and "not checked yet" in told().says
    hourly()
    assert told().state == "ok" and "entry 2" in told().says
    with transaction():
        db.session.execute(text("update audit_checks set checked_at = '2026-01-01 00:00:00+00:00'"))
    assert told().state == "warn" and "worker" in told().mend
    unlocked("update audit_logs set ip = 'x' where number = 1")
    hourly(whole=True)
    assert told().state == "fail" and "Entry 1 (" in told().says


def test_a_check_asked_for_is_an_entry(ann: Person) -> None:
    keeping.asked_for(SYSTEM)
    port(Jobs).submit(tasks.VERIFY, "audit", asked_by="Ann")
    run()
    entry = db.session.scalars(select(Entry).where(Entry.action == "audit.verified")).one()
    assert entry.changes["asked_by"] == "Ann" and entry.changes["outcome"] == "whole"
    assert audit.described(entry).description.endswith("whole")
