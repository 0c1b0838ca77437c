"""Jobs as rows: taken once, leased, fenced, cancelled, retried, rescued."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from devflow.app import create_app
from devflow.core import jobs
from devflow.core.clock import now
from devflow.core.db import db, transaction
from devflow.core.errors import Cancelled, NotFound, Unavailable
from devflow.core.jobs import Job, JobRow, Jobs
from devflow.web.ports import port
from tests.journeys.platform import ROOT, wait_for
from tests.postgres_fixture import fresh_database

KIND, RACE = "test.work", "test.race"
THREADS, PROCESSES = 10, 2


class Script:
    """What the registered handler does next; set by each test."""

    work: Callable[[Job], None] = staticmethod(lambda job: None)
    given_up: list[tuple[str, bool]] = []


@jobs.handles(KIND, given_up=lambda job: Script.given_up.append((job.subject, job.stop)))
def _work(job: Job) -> None:
    Script.work(job)


@jobs.handles(RACE)
def _race(job: Job) -> None:
    with Path(job.payload["file"]).open("a") as tally:
        tally.write("taken\n")


@pytest.fixture(autouse=True)
def _fresh_script() -> None:
    Script.work = staticmethod(lambda job: None)
    Script.given_up = []


@pytest.fixture
def work(app: Flask) -> Iterator[Jobs]:
    """This process's jobs, in an app context."""
    with app.app_context():
        yield port(Jobs)


def submitted(work: Jobs, subject: str = "thing", **options: Any) -> str:
    work.submit(KIND, subject, **options)
    return rows(subject)[-1].id


def rows(subject: str = "thing") -> list[JobRow]:
    db.session.rollback()
    db.session.expire_all()
    return list(db.session.scalars(select(JobRow).where(JobRow.subject == subject).order_by(JobRow.id)))


def row_of(job_id: str) -> JobRow:
    db.session.rollback()
    db.session.expire_all()
    found = db.session.get(JobRow, job_id)
    assert found is not None
    return found


def expire(job_id: str) -> None:
    """As if its worker had been silent for longer than the lease."""
    with transaction():
        db.session.execute(update(JobRow).where(JobRow.id == job_id).values(lease_until=now() - timedelta(seconds=1)))


@contextmanager
def held(app: Flask, work: Jobs, job_id: str, attempt: int = 1) -> Iterator[tuple[Job, threading.Event]]:
    """The job is in the hands of a thread until the event is set."""
    let_go, taken = threading.Event(), list[Job]()

    def hold(job: Job) -> None:
        taken.append(job)
        let_go.wait(20)

    def run() -> None:
        with app.app_context():
            work.run(job_id, attempt)

    Script.work = staticmethod(hold)
    thread = threading.Thread(target=run)
    thread.start()
    wait_for(lambda: taken, 10, "taking the job")
    try:
        yield taken[0], let_go
    finally:
        let_go.set()
        thread.join()


def test_a_job_is_done_once_and_ends_as_done(work: Jobs) -> None:
    done: list[Job] = []
    Script.work = staticmethod(done.append)
    job_id = submitted(work, colour="blue")
    assert work.queues.waiting("default") == 1
    work.run(job_id, 1)
    work.run(job_id, 1)
    assert [(job.subject, job.payload, job.attempt) for job in done] == [("thing", {"colour": "blue"}, 1)]
    row = row_of(job_id)
    assert (row.state, row.error, row.lease_until) == ("done", None, None) and row.finished_at is not None


def test_with_a_key_a_job_is_submitted_once(work: Jobs) -> None:
    for _ in range(3):
        work.submit(KIND, "thing", once="only")
    work.submit(KIND, "thing", once="another")
    assert [row.unique_key for row in rows()] == ["only", "another"]
    assert work.queues.waiting("default") == 2


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_of_many_that_reach_for_a_job_one_gets_it(store: str, tmp_path: Path) -> None:
    tally, start = tmp_path / "tally", tmp_path / "start"
    overrides = {"environment": "test", "data_dir": tmp_path / "data"}
    with fresh_database() if store == "postgresql" else _nothing() as url:
        if url:
            overrides["database_url"] = url
        app = create_app(overrides)
        with app.app_context():
            db.create_all()
            for number in range(5):
                port(Jobs).submit(RACE, f"race {number}", file=str(tally))
            ids = list(db.session.scalars(select(JobRow.id)))
            db.session.remove()
        words = [str(overrides["data_dir"]), str(overrides.get("database_url", "")), str(start), *ids]
        script = "import sys; from tests.core.test_jobs import reach; reach(*sys.argv[1:])"
        racers = [subprocess.Popen([sys.executable, "-c", script, *words], cwd=ROOT) for _ in range(PROCESSES)]
        wait_for(lambda: len(list(tmp_path.glob("ready-*"))) == PROCESSES, 90, "the racers' start")
        start.touch()
        assert [racer.wait(60) for racer in racers] == [0] * PROCESSES
        with app.app_context():
            assert set(db.session.scalars(select(JobRow.state))) == {"done"}
            db.session.remove()
            db.engine.dispose()
    assert tally.read_text().count("taken") == len(ids)


@contextmanager
def _nothing() -> Iterator[str]:
    yield ""


def reach(folder: str, url: str, start: str, *ids: str) -> None:
    """A process of the race: some threads that reach for every job at once."""
    app = create_app({"environment": "test", "data_dir": Path(folder), "database_url": url})
    gate = threading.Barrier(THREADS)

    def run() -> None:
        for job_id in ids:
            gate.wait()
            with app.app_context():
                port(Jobs).run(job_id, 1)

    Path(start).with_name(f"ready-{time.time_ns()}").touch()
    wait_for(Path(start).exists, 90, "the start")
    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_lease_that_ran_out_gives_the_job_to_the_next_worker(app: Flask, work: Jobs) -> None:
    job_id = submitted(work)
    with held(app, work, job_id) as (job, _):
        assert work.reap() == 0
        expire(job_id)
        assert work.reap() == 1
        row = row_of(job_id)
        assert (row.state, row.attempt, row.error) == ("queued", 2, "its worker died")
        assert work.queues.waiting("default") == 2
        assert not job.cancelled()
        work.beat()
        assert job.lost and job.cancelled()
    row = row_of(job_id)
    assert (row.state, row.attempt) == ("queued", 2), "the end of the old worker must not count"
    Script.work = staticmethod(lambda job: None)
    work.run(job_id, 1)
    assert row_of(job_id).state == "queued", "a message of the old attempt must not count"
    work.run(job_id, 2)
    assert row_of(job_id).state == "done"


def test_a_lost_attempt_and_the_next_one_in_the_same_worker_are_told_apart(app: Flask, work: Jobs) -> None:
    job_id = submitted(work)
    with held(app, work, job_id) as (lost, let_go_of_lost):
        expire(job_id)
        work.reap()
        with held(app, work, job_id, 2) as (second, _):
            work.beat()
            assert lost.lost and not second.lost
            let_go_of_lost.set()
            wait_for(lambda: work.running() == [second], 10, "the end of the lost attempt")
            expire(job_id)
            work.beat()
            assert work.reap() == 0 and not second.lost, "it is still kept alive"
            work.cancel("thing", KIND)
            assert second.stop
    assert row_of(job_id).state == "done"


def test_jobs_that_ended_long_ago_are_forgotten(work: Jobs) -> None:
    old, fresh = submitted(work, "old"), submitted(work, "fresh")
    submitted(work, "waiting")
    for job_id in (old, fresh):
        work.run(job_id, 1)
    with transaction():
        long_ago = now() - jobs.KEPT - timedelta(seconds=1)
        db.session.execute(update(JobRow).where(JobRow.id == old).values(finished_at=long_ago))
    assert work.forget_old() == 1
    assert not rows("old") and rows("fresh") and rows("waiting")


def test_beating_keeps_the_lease(app: Flask, work: Jobs) -> None:
    job_id = submitted(work)
    with held(app, work, job_id) as (job, _):
        expire(job_id)
        work.beat()
        assert work.reap() == 0 and not job.lost
        assert row_of(job_id).lease_until > now()  # type: ignore[operator]


def test_a_waiting_job_that_is_cancelled_never_starts(work: Jobs) -> None:
    begun: list[Job] = []
    Script.work = staticmethod(begun.append)
    job_id = submitted(work)
    work.cancel("thing", KIND)
    work.run(job_id, 1)
    assert row_of(job_id).state == "cancelled" and begun == []


def test_a_running_job_is_told_to_end_also_by_another_process(app: Flask, work: Jobs) -> None:
    job_id, elsewhere = submitted(work), Jobs(work.queues, 10)
    with held(app, work, job_id) as (job, _):
        elsewhere.cancel("another thing", KIND)
        work.listen()
        assert not job.cancelled()
        elsewhere.cancel("thing", KIND)
        assert not job.cancelled()
        work.listen()
        assert job.cancelled() and not job.lost


def test_work_that_stops_because_it_was_cancelled_ends_as_cancelled(work: Jobs) -> None:
    def stop(job: Job) -> None:
        raise Cancelled("enough")

    Script.work = staticmethod(stop)
    job_id = submitted(work)
    work.run(job_id, 1)
    assert row_of(job_id).state == "cancelled"


def test_what_is_unavailable_is_tried_three_times_with_growing_waits(work: Jobs) -> None:
    def away(job: Job) -> None:
        raise Unavailable("The engine is away.")

    Script.work = staticmethod(away)
    job_id, waits = submitted(work), []
    for attempt in (1, 2):
        work.run(job_id, attempt)
        row = row_of(job_id)
        assert (row.state, row.attempt, row.error) == ("queued", attempt + 1, "The engine is away.")
        waits.append((row.run_after - now()).total_seconds())
        assert work.reap() == 0, "not before its time"
        with transaction():
            db.session.execute(update(JobRow).values(run_after=now()))
        assert work.reap() == 1
    assert 1 < waits[0] < waits[1] < 20
    work.run(job_id, 3)
    row = row_of(job_id)
    assert (row.state, row.error) == ("failed", "The engine is away.")
    assert work.reap() == 0


@pytest.mark.parametrize(("fault", "says"), [(NotFound("Gone."), "Gone."), (KeyError("oops"), "KeyError: 'oops'")])
def test_other_errors_end_a_job_at_once(work: Jobs, fault: Exception, says: str) -> None:
    def fail(job: Job) -> None:
        raise fault

    Script.work = staticmethod(fail)
    job_id = submitted(work)
    work.run(job_id, 1)
    assert (row_of(job_id).state, row_of(job_id).error) == ("failed", says)


def test_a_job_whose_workers_die_again_and_again_is_given_up(app: Flask, work: Jobs) -> None:
    job_id = submitted(work)
    for attempt in (1, 2, 3):
        with held(app, work, job_id, attempt):
            expire(job_id)
            assert work.reap() == 1
    row = row_of(job_id)
    assert (row.state, row.error) == ("failed", "its workers died again and again")
    assert Script.given_up == [("thing", False)]


def test_a_cancelled_job_of_a_dead_worker_ends_as_cancelled(app: Flask, work: Jobs) -> None:
    job_id = submitted(work)
    with held(app, work, job_id):
        Jobs(work.queues, 10).cancel("thing", KIND)
        expire(job_id)
        assert work.reap() == 1
    assert row_of(job_id).state == "cancelled"
    assert Script.given_up == [("thing", True)]


def test_a_clean_stop_hands_running_jobs_back_at_once(app: Flask, work: Jobs) -> None:
    job_id = submitted(work)
    with held(app, work, job_id) as (job, _):
        work.release()
        assert job.lost
        assert (row_of(job_id).state, row_of(job_id).attempt) == ("queued", 2)
        assert work.reap() == 1, "the next worker is told at once"
    assert row_of(job_id).state == "queued"


def test_a_message_that_was_lost_is_sent_again(work: Jobs) -> None:
    job_id = submitted(work)
    assert work.reap() == 0
    with transaction():
        db.session.execute(update(JobRow).values(sent_at=now() - jobs.UNTAKEN - timedelta(seconds=1)))
    assert work.reap() == 1
    assert work.queues.waiting("default") == 2
    assert row_of(job_id).attempt == 1


def test_a_delayed_job_is_sent_when_its_time_has_come(work: Jobs) -> None:
    job_id = submitted(work, delay=60)
    assert work.queues.waiting("default") == 0 and work.reap() == 0
    with transaction():
        db.session.execute(update(JobRow).values(run_after=now()))
    assert work.reap() == 1 and work.queues.waiting("default") == 1
    work.run(job_id, 1)
    assert row_of(job_id).state == "done"


def test_what_is_being_worked_on_can_be_told(app: Flask, work: Jobs) -> None:
    submitted(work, "waiting")
    work.run(submitted(work, "over"), 1)
    with held(app, work, submitted(work, "running")):
        assert work.open_subjects(KIND) == {"waiting", "running"}
    assert work.had(KIND, "over") and not work.had(KIND, "never")
