"""Sealed files that are altered, missing or forged, and a key that was replaced."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from devflow.core import crypto
from devflow.core.db import db, transaction
from devflow.core.settings import Settings
from devflow.features.audit.service import archiving, chain, sealed
from devflow.web.ports import port
from tests.features.audit.old_entries import ANCHOR, DAYS, numbers, unlocked, write

pytestmark = pytest.mark.usefixtures("within")


@pytest.fixture
def settings(each_store: dict[str, Any]) -> dict[str, Any]:
    return each_store


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


@pytest.fixture
def key(within: Flask) -> Iterator[Callable[[str], None]]:
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
