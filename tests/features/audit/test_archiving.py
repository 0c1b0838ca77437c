"""Old entries leave for sealed files: nothing lost, nothing twice, whatever is killed, altered, missing or forged."""

from __future__ import annotations

import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError

from devflow import cli
from devflow.core.access import SYSTEM
from devflow.core.clock import now
from devflow.core.db import db, transaction
from devflow.core.errors import Conflict, Unavailable
from devflow.core.settings import Settings
from devflow.features.audit.models import Archive, Entry
from devflow.features.audit.schemas import AuditQuery
from devflow.features.audit.service import archiving, chain, exporting, sealed, walking
from devflow.web.ports import port
from tests.features.audit.old_entries import ANCHOR, DAYS, in_files, numbers, unlocked, write

pytestmark = pytest.mark.usefixtures("within")


@pytest.fixture
def settings(each_store: dict[str, Any]) -> dict[str, Any]:
    return each_store


def test_old_entries_leave_and_the_chain_goes_on_from_where_they_end(folder: Path) -> None:
    write(5, days_ago=200)
    noted = chain.head()
    write(4, days_ago=10)
    assert archiving.archive(folder, 0) == 0, "0 days: they stay for ever"
    assert archiving.archive(folder, DAYS) == 5
    assert numbers() == [6, 7, 8, 9, 10]
    kept = sealed.archives()[0]
    assert (kept.first_number, kept.last_number, kept.entries, kept.hash) == (1, 5, 5, noted[1])
    entry = db.session.scalars(select(Entry).where(Entry.number == 10)).one()
    assert entry.action == "audit.archived" and entry.changes["hash"] == noted[1] and entry.changes["entries"] == 5
    path = folder / kept.file
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [p.name for p in folder.iterdir()] == [kept.file], "no draft stays behind"
    verdict = chain.verify([noted, chain.head()], folder=folder, reading=True)
    assert (verdict.checked, verdict.archived, verdict.files, verdict.fault) == (5, 5, 1, None)
    lines = list(exporting.export(SYSTEM, AuditQuery()))
    assert sealed.verify_lines(lines).fault is None, "the first one here knows the last one of the file"
    assert archiving.archive(folder, DAYS) == 0
    assert archiving.archive(folder, 5) == 4, "and later the next ones"
    assert chain.verify([noted], folder=folder, reading=True).fault is None
    assert in_files(folder) == list(range(1, 10))


def test_large_heaps_leave_in_files_of_bounded_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiving, "MOST", 4)
    write(10, days_ago=200)
    assert archiving.archive(folder, DAYS) == 10
    assert [a.entries for a in sealed.archives()] == [4, 4, 2]
    assert chain.verify(folder=folder, reading=True).fault is None and in_files(folder) == list(range(1, 11))


def test_the_notes_about_archives_do_not_call_for_archives(folder: Path) -> None:
    write(2, days_ago=200)
    with time_machine.travel(now() - timedelta(days=100)):
        assert archiving.archive(folder, 30) == 2
    assert archiving.archive(folder, DAYS) == 0, "only the note itself is old"
    write(1, days_ago=95)
    assert archiving.archive(folder, DAYS) == 2, "together with something it may go"


def test_entries_from_before_the_chain_leave_first(folder: Path) -> None:
    with transaction():
        db.session.execute(
            text(
                "insert into audit_logs (id, created_at, actor_name, action, object_type, object_id, object_name, "
                "changes, ip, agent, request_id) values ('0190a000-0000-7000-8000-000000000000', "
                "'2024-07-01 00:00:00+00', 'Old', 'project.created', 'project', 'p', 'P', '{}', '', '', '')"
            )
        )
    write(3, days_ago=200)
    assert archiving.archive(folder, DAYS) == 4
    assert [(a.first_number, a.last_number, a.entries) for a in sealed.archives()] == [(0, 0, 1), (1, 3, 3)]
    verdict = chain.verify(folder=folder, reading=True)
    assert (verdict.older, verdict.archived, verdict.fault) == (0, 4, None)


def test_a_clock_that_was_wrong_archives_nothing_early_and_blocks_nothing(folder: Path) -> None:
    write(1, days_ago=200)
    write(1, days_ago=-5000)  # ahead
    write(1, days_ago=150)
    write(1, days_ago=3)
    write(1, days_ago=9000)  # behind
    assert archiving.archive(folder, DAYS) == 3
    assert numbers() == [4, 5, 6]


FORGED = [
    "delete from audit_logs where number = 1",
    "delete from audit_logs",
    ANCHOR.format(first=1, last=2, entries=2, hash="'forged'"),
    ANCHOR.format(first=1, last=2, entries=1, hash="hash"),
    ANCHOR.format(first=2, last=2, entries=1, hash="hash"),
    ANCHOR.format(first=1, last=5, entries=5, hash="hash"),
]


@pytest.mark.parametrize("statement", FORGED)
def test_the_database_lets_nothing_else_out(statement: str) -> None:
    write(3, days_ago=200)
    write(2)
    with pytest.raises(DatabaseError, match=r"only be added to|does not follow"), transaction():
        db.session.execute(text(statement))
    db.session.rollback()
    assert numbers() == [1, 2, 3, 4, 5]


def test_what_is_kept_of_a_file_cannot_be_changed_and_lets_out_no_more(folder: Path) -> None:
    write(3, days_ago=200)
    write(2, days_ago=100)
    archiving.archive(folder, 150)
    for statement in (
        "update audit_archives set last_number = 5", "delete from audit_archives", "delete from audit_logs",
        "delete from audit_logs where number = 4", ANCHOR.format(first=1, last=5, entries=5, hash="hash"),
        ANCHOR.format(first=5, last=5, entries=1, hash="hash"),
    ):  # fmt: skip
        with pytest.raises(DatabaseError), transaction():
            db.session.execute(text(statement))
        db.session.rollback()
    assert numbers() == [4, 5, 6]


def test_a_broken_chain_is_not_sealed_as_if_it_were_whole(folder: Path) -> None:
    write(4, days_ago=200)
    unlocked("update audit_logs set ip = '203.0.113.9' where number = 3")
    with pytest.raises(Conflict, match="Entry 3"):
        archiving.archive(folder, DAYS)
    assert numbers() == [1, 2, 3, 4] and list(folder.iterdir()) == []


def test_a_disk_that_is_full_loses_nothing(folder: Path) -> None:
    write(300, days_ago=200)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(Unavailable, match="They stay where they are"):
            archiving.archive(folder, DAYS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(numbers()) == 300 and list(folder.iterdir()) == []
    assert archiving.archive(folder, DAYS) == 300


def test_two_at_once_archive_each_entry_once(within: Flask, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiving, "MOST", 5)
    write(20, days_ago=200)
    together, left, faults = Barrier(3), [], []

    def work() -> None:
        try:
            with within.app_context():
                together.wait(30)
                left.append(archiving.archive(folder, DAYS))
                db.session.remove()
        except Exception as error:
            faults.append(error)

    threads = [Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == [] and sum(left) == 20
    assert in_files(folder) == list(range(1, 21)), "each once, in order"
    assert {path.name for path in folder.iterdir()} == {a.file for a in sealed.archives()}
    assert chain.verify(folder=folder, reading=True).fault is None


def test_a_check_under_way_while_entries_leave_finds_no_fault(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(7, days_ago=200)
    write(2)
    chunk, walked = walking.chunk, []

    def slow(after: int, upto: int, most: int = 2) -> Any:
        walked.append(after)
        if walked == [0, 2]:
            assert archiving.archive(folder, DAYS) == 7
        return chunk(after, upto, most)

    monkeypatch.setattr(walking, "CHUNK", 2)
    monkeypatch.setattr(walking, "chunk", slow)
    verdict = chain.verify(folder=folder)
    assert (verdict.fault, verdict.archived, verdict.checked) == (None, 7, 3)


DYING = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from devflow.app import create_app
from devflow.core.db import db
from devflow.features.audit.service import archiving
def die(*_args, **_more):
    os.kill(os.getpid(), signal.SIGKILL)
where, folder = sys.argv[1], sys.argv[2]
with create_app().app_context():
    if where == "commit":
        event.listen(db.engine, "commit", die)
    elif where == "committed":
        event.listen(db.session, "after_commit", die)
    else:
        setattr(archiving, where, die)
    archiving.archive(Path(folder), int(sys.argv[3]))
"""


@pytest.mark.parametrize("where", ["_line", "_seal", "_sync", "noted", "commit", "committed"])
def test_a_death_in_the_middle_loses_nothing_and_doubles_nothing(within: Flask, folder: Path, where: str) -> None:
    write(6, days_ago=200)
    write(2)
    settings = port(Settings)
    environment = {
        "PATH": "/usr/bin:/bin", "DATA_DIR": str(settings.folder), "DATABASE_URL": settings.database_url,
        "AUDIT_KEY": settings.audit_key.get_secret_value(), "PYTHONPATH": str(Path(cli.__file__).parent.parent),
    }  # fmt: skip
    words = [sys.executable, "-c", DYING, where, str(folder), str(DAYS)]
    died = subprocess.run(words, env=environment, cwd=settings.folder, capture_output=True, text=True, timeout=60)
    assert died.returncode == -9, died.stderr
    whole = chain.verify(folder=folder, reading=True)
    assert whole.fault is None and whole.absent == (), whole
    write(1, days_ago=100)  # the next file is a larger one
    archiving.archive(folder, DAYS)
    both = sorted(in_files(folder) + numbers())
    assert both == list(range(1, max(both) + 1)), "each entry once, here or there"
    assert chain.verify(folder=folder, reading=True).fault is None
    left = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert left == {a.file for a in sealed.archives()}, "what was never noted down is gone"


def test_the_command_archives_by_hand(
    within: Flask, folder: Path, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(3, days_ago=200)
    assert "for ever" in command("archive").output
    monkeypatch.setattr(cli, "load", lambda: port(Settings).model_copy(update={"audit_retention_days": DAYS}))
    assert "3 entries moved" in command("archive").output
    assert "old enough" in command("archive").output
    assert db.session.scalar(select(Archive.entries)) == 3
