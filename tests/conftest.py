"""An app with a database of its own for each test; nothing of it runs in the background."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from werkzeug.routing import Rule

from devflow.adapters.fakes.edge import FakeEdge
from devflow.app import create_app
from devflow.core import ids
from devflow.core.db import db
from devflow.features.audit.rules.repeats import Repeats
from devflow.features.audit.service import writing
from devflow.features.teams.models import Member
from devflow.ports.edge import Edge
from tests.hearing import hear_signals
from tests.postgres_fixture import fresh_database


def pytest_configure() -> None:
    hear_signals()


def pytest_collection_finish() -> None:
    """Everything imported by now stays; the collections of garbage that follow need not look at it."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs on the shared engine and fails is run again, and the summary says so: on two cores that also build
    images a deadline may pass, and tests side by side remove images of the same content. What is really broken fails
    three times."""
    for item in items:
        slow = item.get_closest_marker("slow") and item.path.name != "test_matrix.py"
        if slow or "ports" in item.path.parts:
            item.add_marker(pytest.mark.flaky(reruns=2))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what tests have to say beside passing: `record_property("printed", text)`."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, text in getattr(report, "user_properties", ()):
                if name == "printed":
                    terminalreporter.section(report.nodeid.rpartition("::")[2])
                    terminalreporter.write_line(str(text))


class CompiledTemplates(BytecodeCache):
    """Templates are compiled once in a test process, not once for the app of each test."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self.kept:
            bucket.bytecode_from_string(self.kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.kept[bucket.key] = bucket.bytecode_to_string()


Flask.jinja_options = {**Flask.jinja_options, "bytecode_cache": CompiledTemplates()}


class CompiledRule(Rule):
    """A route whose address builder is compiled once in a test process: half of what making an app costs."""

    kept: ClassVar[dict[Any, Callable[..., tuple[str, str]]]] = {}

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        key = (self.rule, self.subdomain, self.host, repr(self.defaults), append_unknown)
        if key not in self.kept:
            self.kept[key] = super()._compile_builder(append_unknown)
        return self.kept[key]


Flask.url_rule_class = CompiledRule

PASSWORD = "correct horse"
SETTINGS: dict[str, Any] = {
    "environment": "test",
    "rate_limit_per_minute": 100_000,
    "auth_limit_per_minute": 100_000,
    "token_limit_per_hour": 100_000,
    "token_creations_per_minute": 100_000,
    "sensitive_limit_per_minute": 100_000,
    "allow_local_repositories": True,
}


@pytest.fixture
def settings() -> dict[str, Any]:
    """Overrides of a test module; redefine it to change them."""
    return {}


@pytest.fixture(params=["sqlite", "postgresql"])
def each_store(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Settings that put the app on each of the two databases, empty: let `settings` of a module return them."""
    if request.param == "sqlite":
        yield {}
        return
    with fresh_database() as url:
        yield {"database_url": url}


@pytest.fixture(autouse=True)
def _nothing_was_refused_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process remembers of refused attempts is of the test before, whose callers have the same address."""
    monkeypatch.setattr(writing, "_repeats", Repeats())


@pytest.fixture(autouse=True)
def _clock_of_ids() -> Iterator[None]:
    """Ids never go back within a process; one whose clock was put forward must not lead those of the next test."""
    yield
    ids._last = 0


@pytest.fixture
def app(tmp_path: Path, settings: dict[str, Any]) -> Iterator[Flask]:
    made = create_app({**SETTINGS, "data_dir": tmp_path / "data", **settings}, {Edge: FakeEdge()})
    with made.app_context():
        db.create_all()
    yield made
    with made.app_context():
        db.session.remove()
        db.engine.dispose()


@dataclass
class Person:
    """Somebody with an account, who asks by bearer token."""

    client: FlaskClient
    id: str
    email: str
    token: str

    def call(self, method: str, path: str, expect: int = 200, **body: Any) -> Any:
        answer = self.client.open(
            f"/api/v1{path}", method=method, json=body or None, headers={"Authorization": f"Bearer {self.token}"}
        )
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        payload = answer.get_json()
        return payload["data"] if answer.status_code < 400 else payload["error"]


@pytest.fixture
def person(app: Flask) -> Callable[..., Person]:
    """Make an account: `person("Ann")`. The first one is the administrator."""

    def make(name: str = "Ann", **fields: Any) -> Person:
        client = app.test_client()
        email = f"{name.lower()}@example.com"
        answer = client.post(
            "/api/v1/auth/register", json={"name": name, "email": email, "password": PASSWORD, **fields}
        )
        assert answer.status_code == 201, answer.text
        data = answer.get_json()["data"]
        fresh = app.test_client()  # without the cookie
        return Person(fresh, data["id"], email, data["access_token"])

    return make


@pytest.fixture
def ann(person: Callable[..., Person]) -> Person:
    """The administrator."""
    return person("Ann")


Join = Callable[[Person, str, str], None]


@pytest.fixture
def join(app: Flask) -> Join:
    """Make somebody a member of a team without the invitation: `join(bob, team_id, "viewer")`."""

    def add(who: Person, team_id: str, role: str) -> None:
        with app.app_context():
            db.session.add(Member(team_id=team_id, user_id=who.id, email=who.email, role=role))
            db.session.commit()

    return add


@pytest.fixture
def browser(app: Flask) -> Callable[[Person], FlaskClient]:
    """A browser in which this person has signed in. CSRF is checked as in production; `csrf(client)` gives a token."""

    def sign_in(who: Person) -> FlaskClient:
        client = app.test_client()
        form = {"email": who.email, "password": PASSWORD, "csrf_token": csrf(client)}
        answer = client.post("/login", data=form)
        assert answer.status_code == 303, answer.text
        return client

    return sign_in


def csrf(client: FlaskClient) -> str:
    """The token of a form this browser has just opened."""
    page = client.get("/login", follow_redirects=True).text
    start = page.index('name="csrf_token"')
    return page[start:].split('value="', 1)[1].split('"', 1)[0]
