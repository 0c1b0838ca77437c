"""The audit with a million entries: pages by every filter, checks of the chain, an export, an entry, an archive."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, text, update

from devflow.app import create_app
from devflow.core.access import SYSTEM, Actor
from devflow.core.clock import now
from devflow.core.crypto import link
from devflow.core.db import db, transaction
from devflow.core.ids import first_id_at, new_id
from devflow.features.audit import service as audit
from devflow.features.audit.models import Entry, Head
from devflow.features.audit.rules.sealing import sealed_text
from devflow.features.audit.schemas import AuditQuery
from devflow.features.audit.service import archiving, chain, exporting, reading
from tests.bench.table import Figure, percentile

ROWS = int(os.environ.get("BENCH_AUDIT_ROWS", "1000000"))
BATCH = 10_000
TEAMS, PEOPLE = 50, 200
KINDS = ("project.updated", "deployment.queued", "account.signed_in", "member.invited", "token.created")
TIMES = 40
AIM = 200.0


def run(folder: Path) -> list[Figure]:
    app = create_app({"data_dir": folder / "data", "environment": "test"})
    with app.app_context():
        db.create_all()
        fill(ROWS)
        found = [*_pages(), *_whole(), *_one_more(), *_archive(folder / "sealed")]
        db.session.remove()
    return found


def fill(count: int) -> None:
    """Entries of two years, chained as the service chains them."""
    number, last = 0, ""
    began = now() - timedelta(days=730)
    step = timedelta(days=730) / count
    while number < count:
        rows = []
        for _ in range(min(BATCH, count - number)):
            number += 1
            row = _row(number, began + step * number)
            last = row["hash"] = link(last, sealed_text(row))
            rows.append(row)
        with transaction():
            db.session.execute(insert(Entry), rows)
    with transaction():
        db.session.execute(insert(Head), [{"id": 1, "number": 0, "hash": ""}])
        db.session.execute(update(Head).values(number=number, hash=last))
        db.session.execute(text("analyze"))


def _row(number: int, at: Any) -> dict[str, Any]:
    action, person = KINDS[number % len(KINDS)], number % PEOPLE
    return {
        "number": number, "id": first_id_at(at)[:18] + new_id()[18:], "created_at": at, "actor_id": f"{person:036d}",
        "actor_name": f"Person {person}", "actor_email": f"person{person}@example.com", "token_id": None,
        "team_id": f"{number % TEAMS:036d}", "action": action, "result": "denied" if number % 97 == 0 else "done",
        "status_code": 200, "object_type": action.partition(".")[0], "object_id": f"{number % 5000:036d}",
        "object_name": f"Thing {number % 5000}" if number != 4321 else "the needle", "ip": "192.0.2.7",
        "changes": {"branch": ["main", f"feature-{number}"]}, "agent": "Mozilla/5.0 (X11; Linux x86_64)",
        "request_id": new_id(),
    }  # fmt: skip


def _pages() -> Iterator[Figure]:
    middle, team = now() - timedelta(days=365), f"{7:036d}"
    admin = Actor(id="b" * 36, name="Bob", teams={team: frozenset({reading.Permission.AUDIT_READ})})
    asked: dict[str, tuple[Actor, AuditQuery]] = {
        "first page": (SYSTEM, AuditQuery()),
        "one team's": (admin, AuditQuery()),
        "by person": (SYSTEM, AuditQuery(user_id=f"{9:036d}")),
        "by kind": (SYSTEM, AuditQuery(action="project.")),
        "by thing": (SYSTEM, AuditQuery(resource_id=f"{9:036d}")),
        "refused": (SYSTEM, AuditQuery(result="denied")),
        "team and kind": (admin, AuditQuery(action="token.created")),
        "person, refused, a year ago": (SYSTEM, AuditQuery(user_id=f"{9:036d}", result="denied", to_date=middle)),
        "search, rare": (SYSTEM, AuditQuery(search="the needle")),
        "by cursor, halfway": (SYSTEM, AuditQuery(cursor=first_id_at(middle))),
    }
    for name, (who, query) in asked.items():
        slow = percentile(_timed(lambda who=who, query=query: reading.search(who, query)), 95)  # type: ignore[misc]
        yield Figure(f"audit of {ROWS:,}, {name}, p95", slow * 1000, "ms", None, AIM)


def _timed(work: Callable[[], object]) -> list[float]:
    found = []
    for _ in range(TIMES):
        began = time.perf_counter()
        work()
        db.session.rollback()
        db.session.expunge_all()
        found.append(time.perf_counter() - began)
    return found


def _whole() -> Iterator[Figure]:
    began = time.perf_counter()
    every = text("select number, hash from audit_logs order by number")
    raw = sum(1 for _ in db.session.execute(every)) and time.perf_counter() - began
    verdict = chain.verify()
    assert verdict.fault is None and verdict.checked == ROWS, verdict
    newest = chain.verify(since=_at(ROWS - ROWS // 1000))
    yield Figure(f"newest {newest.checked:,} of {ROWS:,} checked", newest.seconds, "s", None, None)
    yield Figure(f"chain of {ROWS:,} checked", verdict.seconds, "s", raw, 60.0 * ROWS / 1e6, "reading number and hash")
    began = time.perf_counter()
    size = sum(len(line) for line in exporting.export(SYSTEM, AuditQuery()))
    yield Figure(f"export of {ROWS:,} ({size / 1e6:.0f} MB)", time.perf_counter() - began, "s", raw, None,
                 "reading number and hash")  # fmt: skip


def _one_more() -> Iterator[Figure]:
    def bare() -> None:
        with transaction():
            db.session.execute(text("update audit_head set number = number"))

    def entry() -> None:
        with transaction():
            audit.noted(SYSTEM, "thing.done", "thing", "1", "Thing", {"a": [1, 2]})

    raw, ours = percentile(_timed(bare), 50), percentile(_timed(entry), 50)
    yield Figure("one entry, with its commit, median", ours * 1000, "ms", raw * 1000, None, "a commit of one row")


def _at(number: int) -> tuple[int, str]:
    found = db.session.execute(select(Entry.number, Entry.hash).where(Entry.number == number)).one()
    return int(found[0] or 0), str(found[1])


def _archive(folder: Path) -> Iterator[Figure]:
    began = time.perf_counter()
    left = archiving.archive(folder, 365)
    spent = time.perf_counter() - began
    size = sum(path.stat().st_size for path in folder.iterdir())
    yield Figure(f"archive of {left:,} ({size / 1e6:.0f} MB)", spent, "s", None, None)
    verdict = chain.verify(folder=folder, reading=True)
    assert verdict.fault is None and verdict.archived == left, verdict
    yield Figure("chain and every link of its archives checked", verdict.seconds, "s", None, None)
