"""Old entries leave for sealed files: nothing lost, nothing twice, whatever is killed, altered, missing or forged."""

from __future__ import annotations

import gzip
import json
import resource
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from click.testing import CliRunner
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError

from devflow import cli
from devflow.core import crypto
from devflow.core.access import SYSTEM, Actor
from devflow.core.clock import now
from devflow.core.db import db, transaction
from devflow.core.errors import Conflict, Unavailable
from devflow.core.settings import Settings
from devflow.features.audit import service as audit
from devflow.features.audit.models import Archive, Entry
from devflow.features.audit.schemas import AuditQuery
from devflow.features.audit.service import archiving, chain, exporting, sealed
from devflow.web.ports import port

ANN = Actor(id="a" * 36, name="Ann", email="ann@example.com", ip="192.0.2.7", agent="curl", request_id="r-1")
THING = SimpleNamespace(id="t" * 36, name="Käse 🧀", team_id="T" * 36)
DAYS = 90
GUARDS = {
    "sqlite": ("audit_logs_no_update", "audit_logs_no_delete", "audit_archives_no_update", "audit_archives_no_delete"),
    "postgresql": ("audit_logs_append_only", "audit_logs_no_delete", "audit_archives_append_only"),
}
ANCHOR = (
    "insert into audit_archives (first_number, last_number, entries, previous_hash, hash, file, size, sha256, last_at, "
    "signature, created_at) select {first}, {last}, {entries}, '', {hash}, 'x', 1, 'x', created_at, 'x', created_at "
    "from audit_logs where number = {last}"
)


@pytest.fixture
def settings(each_store: dict[str, Any]) -> dict[str, Any]:
    return each_store


@pytest.fixture(autouse=True)
def store(app: Flask) -> Iterator[Flask]:
    with app.app_context():
        yield app
        db.session.remove()


@pytest.fixture
def folder(store: Flask) -> Path:
    return port(Settings).folder / "audit"


def write(count: int, days_ago: float = 0) -> None:
    """So many entries, made so many days ago."""
    with time_machine.travel(now() - timedelta(days=days_ago)):
        for at in range(count):
            with transaction():
                audit.record(ANN, "thing.changed", THING, {"at": [at, at + 1], "when": 1.5})


def unlocked(*statements: str) -> None:
    """As somebody who may do anything to the database: the guards are dropped first."""
    dialect = db.engine.dialect.name
    with transaction():
        for name in GUARDS[dialect]:
            table = f" on {name[: name.index('s_') + 1]}" if dialect == "postgresql" else ""
            db.session.execute(text(f"drop trigger if exists {name}{table}"))
        for statement in statements:
            db.session.execute(text(statement))


def numbers() -> list[int]:
    found = list(db.session.scalars(select(Entry.number).order_by(Entry.number)))
    db.session.rollback()
    return found  # type: ignore[return-value]


def in_files(folder: Path) -> list[int]:
    """The numbers in files that are noted down."""
    found = []
    for archive in sealed.archives():
        lines = gzip.decompress((folder / archive.file).read_bytes()).splitlines()
        found += [row["number"] for row in map(json.loads, lines) if "seal" not in row]
    return found


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


def test_who_deletes_old_entries_without_the_key_is_found_out(folder: Path) -> None:
    write(3, days_ago=200)
    write(2)
    with transaction():
        db.session.execute(text(ANCHOR.format(first=1, last=3, entries=3, hash="hash")))
        db.session.execute(text("delete from audit_logs where number <= 3"))
    fault = chain.verify(folder=folder).fault
    assert fault is not None and fault.kind == "archive" and "not as it was written" in fault.says


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("delete from audit_archives", "missing"),
        ("update audit_archives set hash = 'x' where first_number = 1", "archive"),
        ("update audit_archives set sha256 = 'x' where first_number = 1", "archive"),
        ("delete from audit_archives where first_number = 1", "archive"),
        ("delete from audit_archives where first_number = 3", "missing"),
    ],
)
def test_what_is_kept_of_the_files_is_checked(folder: Path, statement: str, kind: str) -> None:
    write(2, days_ago=200)
    write(2, days_ago=150)
    write(2)
    archiving.archive(folder, 180)
    archiving.archive(folder, DAYS)
    unlocked(statement)
    fault = chain.verify(folder=folder).fault
    assert fault is not None and fault.kind == kind, fault


@pytest.fixture
def command(store: Flask, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setattr(cli, "create_app", lambda: store)
    return lambda *words: CliRunner().invoke(cli.main, ["audit", *words])


def _forge(lines: list[bytes]) -> list[bytes]:
    return [lines[0].replace(b'"Ann"', b'"Eve"'), *lines[1:]]


@pytest.mark.parametrize(
    "change", [_forge, lambda lines: lines[1:], lambda lines: lines[:-1], lambda lines: [*lines, lines[0]]]
)
def test_an_altered_file_is_told_by_the_database_and_by_itself(
    folder: Path, command: Callable[..., Any], change: Callable[[list[bytes]], list[bytes]]
) -> None:
    write(3, days_ago=200)
    archiving.archive(folder, DAYS)
    path = folder / sealed.archives()[0].file
    assert command("verify", "--file", str(path)).exit_code == 0
    path.write_bytes(gzip.compress(b"".join(change(gzip.decompress(path.read_bytes()).splitlines(keepends=True)))))
    told = command("verify")
    assert told.exit_code == 1 and path.name in told.output and "not as it was written" in told.output
    assert command("verify", "--file", str(path)).exit_code == 1


def test_a_file_that_is_cut_off_is_told(folder: Path, command: Callable[..., Any]) -> None:
    write(30, days_ago=200)
    archiving.archive(folder, DAYS)
    path = folder / sealed.archives()[0].file
    path.write_bytes(path.read_bytes()[:-40])
    assert command("verify").exit_code == 1
    told = command("verify", "--file", str(path))
    assert told.exit_code == 1 and "cut off" in told.output


def test_a_missing_file_is_told_and_may_be_elsewhere(folder: Path, command: Callable[..., Any], tmp_path: Path) -> None:
    write(3, days_ago=200)
    noted = "{}:{}".format(*chain.head())
    write(1, days_ago=150)
    archiving.archive(folder, DAYS)
    name, elsewhere = sealed.archives()[0].file, tmp_path / "vault"
    assert command("verify", "--archives", "--expect", noted).exit_code == 0
    folder.rename(elsewhere)
    told = command("verify")
    assert told.exit_code == 0 and f"missing: {name}" in told.output, "moved away is not broken, but said"
    told = command("verify", "--archives")
    assert told.exit_code == 1 and "MISSING" in told.output
    told = command("verify", "--expect", noted)
    assert told.exit_code == 1 and "not there to be looked into" in told.output
    told = command("verify", "--archives", str(elsewhere), "--expect", noted)
    assert told.exit_code == 0 and "4 entries are in sealed files" in told.output
    assert "another hash" in command("verify", "--archives", str(elsewhere), "--expect", f"3:{'0' * 64}").output


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


def test_two_at_once_archive_each_entry_once(store: Flask, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archiving, "MOST", 5)
    write(20, days_ago=200)
    together, left, faults = Barrier(3), [], []

    def work() -> None:
        try:
            with store.app_context():
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
    # One may find entries gone while it reads them; it says so and leaves the rest to the others.
    assert all(isinstance(fault, Conflict) for fault in faults) and len(faults) < 3, faults
    archiving.archive(folder, DAYS)
    assert in_files(folder) == list(range(1, 21)), "each once, in order"
    assert {path.name for path in folder.iterdir()} == {a.file for a in sealed.archives()}
    assert chain.verify(folder=folder, reading=True).fault is None


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
def test_a_death_in_the_middle_loses_nothing_and_doubles_nothing(store: Flask, folder: Path, where: str) -> None:
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


@pytest.fixture
def key(store: Flask) -> Iterator[Callable[[str], None]]:
    """Another AUDIT_KEY; `key("new,{}")` puts the first one behind."""
    settings = port(Settings)
    first = settings.audit_key.get_secret_value()

    def use(text: str) -> None:
        crypto.use(
            settings.encryption_keys.get_secret_value(), audit_key=text.format(first),
            token_key=settings.secret_key.get_secret_value(),
        )  # fmt: skip

    yield use
    use("{}")


@pytest.mark.parametrize("archived", [False, True])
def test_another_key_is_told_from_forgery_and_may_be_replaced(
    folder: Path, key: Callable[[str], None], archived: bool
) -> None:
    write(5, days_ago=200)
    if archived:
        write(5)
        archiving.archive(folder, DAYS)
    key("new")
    fault = chain.verify(folder=folder).fault
    assert fault is not None and fault.kind == "key" and "AUDIT_KEY" in fault.says
    write(3)
    fault = chain.verify(folder=folder).fault
    assert fault is not None and fault.kind == "key", "also when it went on with the new one"
    key("new,{}")
    assert chain.verify(folder=folder, reading=True).fault is None
    end = max(numbers())
    unlocked(f"update audit_logs set ip = 'x' where number = {end - 6}")
    fault = chain.verify(folder=folder).fault
    assert fault is not None and (fault.kind, fault.number) == ("changed", end - 6)


def test_a_key_that_was_replaced_seals_no_more(key: Callable[[str], None]) -> None:
    write(2)
    key("new,{}")
    write(2)
    key("{}")  # whoever got hold of the earlier one
    write(1)
    key("new,{}")
    fault = chain.verify().fault
    assert fault is not None and (fault.kind, fault.number) == ("changed", 5)


def test_the_command_archives_by_hand(
    store: Flask, folder: Path, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(3, days_ago=200)
    assert "for ever" in command("archive").output
    monkeypatch.setattr(cli, "load", lambda: port(Settings).model_copy(update={"audit_retention_days": DAYS}))
    assert "3 entries moved" in command("archive").output
    assert "old enough" in command("archive").output
    assert db.session.scalar(select(Archive.entries)) == 3
