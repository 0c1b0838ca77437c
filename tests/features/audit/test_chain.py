"""The chain: what the database refuses, what the check notices when it did not, and many writers at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import Barrier, Thread
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask
from sqlalchemy import func, select, text
from sqlalchemy.exc import DatabaseError

from devflow import cli
from devflow.adapters.fakes.edge import FakeEdge
from devflow.app import ROOT, create_app
from devflow.core.access import SYSTEM, Actor, Permission
from devflow.core.db import db, transaction
from devflow.core.errors import Conflict
from devflow.core.use_case import use_case
from devflow.features.audit import models
from devflow.features.audit import service as audit
from devflow.features.audit.models import Entry
from devflow.features.audit.schemas import AuditQuery
from devflow.features.audit.service import chain, exporting, sealed
from devflow.ports.edge import Edge
from tests.conftest import SETTINGS
from tests.postgres_fixture import fresh_database

ANN = Actor(id="a" * 36, name="Ann", email="ann@example.com", ip="192.0.2.7", agent="curl", request_id="r-1")
THING = SimpleNamespace(id="t" * 36, name="Käse 🧀", team_id="T" * 36)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """An app on each of the databases."""
    if request.param == "sqlite":
        yield from _app(tmp_path, {})
    else:
        with fresh_database() as url:
            yield from _app(tmp_path, {"database_url": url})


def _app(folder: Path, more: dict[str, Any]) -> Iterator[Flask]:
    app = create_app({**SETTINGS, "data_dir": folder / "data", **more}, {Edge: FakeEdge()})
    with app.app_context():
        db.create_all()
        yield app
        db.session.remove()
        db.engine.dispose()


def _write(count: int) -> None:
    for at in range(count):
        with transaction():
            audit.record(ANN, "thing.changed", THING, {"at": [at, at + 1], "when": 1.5})


def _unlocked(*statements: str) -> None:
    """As somebody who may do anything to the database: the guards are dropped first."""
    sqlite = db.engine.dialect.name == "sqlite"
    guards = (
        ["drop trigger if exists audit_logs_no_update", "drop trigger if exists audit_logs_no_delete"]
        if sqlite
        else [f"drop trigger if exists audit_logs_{name} on audit_logs" for name in ("append_only", "no_delete")]
    )
    with transaction():
        for statement in (*guards, *statements):
            db.session.execute(text(statement))


@pytest.mark.parametrize(
    "statement", ["update audit_logs set ip = ''", "delete from audit_logs", "truncate table audit_logs"]
)
def test_the_database_refuses_to_change_an_entry(store: Flask, statement: str) -> None:
    if statement.startswith("truncate") and db.engine.dialect.name == "sqlite":
        statement = "delete from audit_logs where number = 2"  # SQLite has no truncate
    _write(3)
    with pytest.raises(DatabaseError, match="only be added to"), transaction():
        db.session.execute(text(statement))
    assert chain.verify().fault is None and chain.verify().checked == 3


def test_the_migration_makes_the_same_guards() -> None:
    spec = spec_from_file_location("access", ROOT / "migrations" / "versions" / "20261122_0003_access.py")
    assert spec is not None and spec.loader is not None
    migration = module_from_spec(spec)
    spec.loader.exec_module(migration)
    assert set(migration.GUARDS["sqlite"]) == {*models.SQLITE_GUARDS, *models.SQLITE_ARCHIVE_GUARDS}
    assert set(migration.GUARDS["postgresql"]) == {*models.POSTGRES_GUARDS, *models.POSTGRES_ARCHIVE_GUARDS}


def test_a_whole_chain_is_whole(store: Flask) -> None:
    assert chain.verify().fault is None, "an empty one"
    _write(5)
    verdict = chain.verify([chain.head()])
    assert (verdict.checked, verdict.number, verdict.fault) == (5, 5, None)


SWAP = (
    "update audit_logs set number = -1 where number = 3",
    "update audit_logs set number = 3 where number = 4",
    "update audit_logs set number = 4 where number = -1",
)


@pytest.mark.parametrize(
    ("statements", "kind", "number"),
    [
        (("update audit_logs set ip = '203.0.113.9' where number = 3",), "changed", 3),
        (("update audit_logs set changes = '{}' where number = 3",), "changed", 3),
        (("update audit_logs set created_at = '2020-01-01 00:00:00+00' where number = 1",), "changed", 1),
        (("update audit_logs set hash = 'x' where number = 6",), "changed", 6),
        (("delete from audit_logs where number = 3",), "missing", 3),
        (("delete from audit_logs where number in (1, 2)",), "missing", 1),
        (("delete from audit_logs where number > 4",), "missing", 5),
        (("delete from audit_logs where number > 4", "update audit_head set number = 4"), "head", 4),
        (SWAP, "order", 3),
        (("update audit_head set hash = 'x'",), "head", 6),
        (("update audit_head set number = 5, hash = (select hash from audit_logs where number = 5)",), "head", 6),
        (("delete from audit_head",), "head", 6),
        (("update audit_logs set number = null where number = 6",
          "update audit_head set number = 5, hash = (select hash from audit_logs where number = 5)"), "outside", None),
    ],
)  # fmt: skip
def test_each_kind_of_tampering_is_named(
    store: Flask, statements: tuple[str, ...], kind: str, number: int | None
) -> None:
    _write(6)
    _unlocked(*statements)
    fault = chain.verify().fault
    assert fault is not None and (fault.kind, fault.number) == (kind, number), fault


def test_a_tail_that_is_cut_off_cleanly_shows_by_the_head_noted_before(store: Flask) -> None:
    _write(6)
    noted = chain.head()
    _unlocked(
        "delete from audit_logs where number > 4",
        "update audit_head set number = 4, hash = (select hash from audit_logs where number = 4)",
    )
    assert chain.verify().fault is None, "nothing in the database can tell"
    fault = chain.verify([noted]).fault
    assert fault is not None and (fault.kind, fault.number) == ("expected", 6)
    _write(2)
    fault = chain.verify([noted]).fault
    assert fault is not None and "another hash" in fault.says, "and neither when others have come in their place"


def test_entries_from_before_the_chain_are_counted(store: Flask) -> None:
    old = "".join(name + ", " for name in ("team_id", "actor_id", "token_id"))
    with transaction():
        db.session.execute(
            text(
                f"insert into audit_logs ({old} id, created_at, actor_name, action, object_type, object_id, "
                "object_name, changes, ip, agent, request_id) values (null, null, null, "
                "'0190a000-0000-7000-8000-000000000000', '2024-07-01 00:00:00+00', 'Old', 'project.created', "
                "'project', 'p', 'P', '{}', '', '', '')"
            )
        )
    _write(2)
    verdict = chain.verify()
    assert (verdict.checked, verdict.older, verdict.fault) == (2, 1, None)


def test_what_is_rolled_back_leaves_no_entry_and_no_hole(store: Flask) -> None:
    @use_case(Permission.TEAMS_CREATE)
    def fails(actor: Actor) -> None:
        audit.record(ANN, "thing.changed", THING)
        raise Conflict("No.")

    _write(1)
    with pytest.raises(Conflict):
        fails(SYSTEM)
    _write(1)
    assert list(db.session.scalars(select(Entry.number).order_by(Entry.number))) == [1, 2]
    assert chain.verify().fault is None


def test_a_savepoint_that_is_undone_takes_only_its_own_entry(store: Flask) -> None:
    with transaction():
        audit.record(ANN, "thing.first", THING)
        with pytest.raises(Conflict), db.session.begin_nested():
            audit.record(ANN, "thing.undone", THING)
            raise Conflict("No.")
        with db.session.begin_nested():
            audit.record(ANN, "thing.kept", THING)
    assert list(db.session.scalars(select(Entry.action).order_by(Entry.number))) == ["thing.first", "thing.kept"]
    assert chain.verify().fault is None


def test_texts_longer_than_their_column_do_not_break_the_chain(store: Flask) -> None:
    long = Actor(id="a" * 36, name="n" * 900, email="e" * 900, ip="1" * 99, agent="x\x00y" * 200, request_id="r" * 99)
    with transaction():
        audit.noted(long, "a" * 200, "k" * 99, "o" * 99, "n" * 999, {"\x00k": "\x00v", "π": [1, None]})
    assert chain.verify().fault is None


def test_many_writers_at_once_make_one_chain(store: Flask) -> None:
    writers, each, faults = 8, 12, []
    together = Barrier(writers)

    def work() -> None:
        try:
            with store.app_context():
                together.wait(30)
                _write(each)
                db.session.remove()
        except Exception as error:
            faults.append(error)

    threads = [Thread(target=work) for _ in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []
    verdict = chain.verify()
    assert (verdict.checked, verdict.fault) == (writers * each, None)
    assert db.session.scalar(select(func.count(Entry.hash.distinct()))) == writers * each


def test_an_export_can_be_verified_without_the_database(store: Flask) -> None:
    _write(4)
    lines = list(exporting.export(SYSTEM, AuditQuery()))
    verdict = sealed.verify_lines(lines)
    assert (verdict.checked, verdict.left_out, verdict.fault) == (5, 0, None), "with the export itself"
    assert verdict.hash == chain.head()[1]
    assert sealed.verify_lines(lines[1:3] + lines[4:]).left_out == 1
    forged = json.loads(lines[2]) | {"actor_name": "Eve"}
    fault = sealed.verify_lines([*lines[:2], json.dumps(forged), *lines[3:]]).fault
    assert fault is not None and (fault.kind, fault.number) == ("changed", 3)
    for bad in ("", "{}", "[1]", "null", "1", lines[0][:-9]):
        assert sealed.verify_lines([bad]).fault is not None, bad


@pytest.fixture
def command(store: Flask, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`devflow audit …` on the same database."""
    monkeypatch.setattr(cli, "create_app", lambda: store)
    return lambda *words: CliRunner().invoke(cli.main, ["audit", *words])


def test_the_commands_say_where_it_ends_and_whether_it_is_whole(command: Callable[..., Any], tmp_path: Path) -> None:
    _write(3)
    noted = command("head").output.strip()
    assert noted == "{}:{}".format(*chain.head())
    good = command("verify", "--expect", noted)
    assert good.exit_code == 0 and "3 entries checked" in good.output and noted in good.output
    assert command("verify", "--expect", "rubbish").exit_code == 1
    assert command("export", "--action", "thing.", "--output", str(tmp_path / "x.jsonl")).exit_code == 0
    assert command("verify", "--file", str(tmp_path / "x.jsonl")).exit_code == 0
    assert command("export", "--from", "soon").exit_code == 1
    _unlocked("delete from audit_logs where number = 2")
    bad = command("verify")
    assert bad.exit_code == 1 and "Entry 2 is missing" in bad.output
