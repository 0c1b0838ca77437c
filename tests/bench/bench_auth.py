"""What it costs to know who asks, with a million API tokens in the table, against a route that asks nobody.

Both routes give the same bytes, on the same server in the same run, in turns; bcrypt has no part in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from sqlalchemy import func, insert, select

from devflow.app import create_app
from devflow.core.clock import now
from devflow.core.crypto import digest
from devflow.core.db import db, transaction
from devflow.core.ids import new_id
from devflow.features.tokens import rules
from devflow.features.tokens.models import ApiToken, TokenUsage, TokenValue
from tests.bench import bare
from tests.bench.load import Load
from tests.bench.table import Figure, percentile
from tests.conftest import PASSWORD

TOKENS = 1_000_000
BATCH = 20_000
AIM = 2.0
ROUNDS, SECONDS = 12, 0.7
THREADS = 16
PERSON = {"name": "Ann", "email": "ann@example.com", "password": PASSWORD}
KINDS = {"session": "a browser session", "jwt": "an access token (JWT)", "token": "an API token"}


def run(folder: Path) -> list[Figure]:
    settings = {"data_dir": folder / "data", "environment": "test"}
    value = _fill(settings)
    environment = {"DATA_DIR": str(folder / "data"), "DEVFLOW_ENV": "test"}
    with bare.gunicorn(folder / "served", b"", THREADS, target="tests.bench.auth_app:app", environment=environment) as (
        _,
        port,
    ):
        seconds = _measured(port, _callers(port, value))
    _all_counted(settings, len(seconds["token"]))
    return list(_figures(seconds))


def _fill(settings: Mapping[str, Any]) -> str:
    """An account and a million tokens, one of which is known; its value."""
    app = create_app(settings)
    with app.app_context():
        db.create_all()
    answer = app.test_client().post("/api/v1/auth/register", json=PERSON)
    assert answer.status_code == 201, answer.text
    user, value = answer.get_json()["data"]["id"], ""
    with app.app_context():
        for _ in range(TOKENS // BATCH):
            value = rules.new_value()
            tokens = [_token(user) for _ in range(BATCH)]
            values = [{"digest": digest(f"{value}{number or ''}"), "token_id": row["id"], "uses": 0}
                      for number, row in enumerate(tokens)]  # fmt: skip
            with transaction():
                db.session.execute(insert(ApiToken), tokens)
                db.session.execute(insert(TokenValue), values)
        db.session.remove()
        db.engine.dispose()
    return value


def _token(user: str) -> dict[str, Any]:
    return {
        "id": new_id(), "user_id": user, "name": "ci", "token_prefix": "dvf_0000", "last_four": "0000",
        "scopes": ["read", "deploy"], "project_ids": [], "allowed_ips": [], "expires_at": now() + timedelta(days=90),
    }  # fmt: skip


def _callers(port: int, value: str) -> dict[str, dict[str, str]]:
    """Headers of nobody, and of the same person in three ways."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        login = {"email": PERSON["email"], "password": PASSWORD}
        jwt = client.post("/api/v1/auth/login", json=login).json()["data"]["access_token"]
        form = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get("/login").text)
        assert form is not None
        answer = client.post("/login", data={**login, "csrf_token": form[1]})
        assert answer.status_code == 303, answer.text
        cookies = "; ".join(f"{name}={held}" for name, held in client.cookies.items())
    bearers = {"jwt": {"Authorization": f"Bearer {jwt}"}, "token": {"Authorization": f"Bearer {value}"}}
    return {"nobody": {}, "session": {"Cookie": cookies}, **bearers}


def _measured(port: int, callers: Mapping[str, dict[str, str]]) -> dict[str, list[float]]:
    """Seconds of each answer, by kind of caller; they take turns, so that a busy moment hits all of them."""
    seconds: dict[str, list[float]] = {kind: [] for kind in callers}
    for number in range(ROUNDS + 1):
        for kind, headers in callers.items():
            path = "/bench/bare" if kind == "nobody" else "/bench/known"
            load = Load(port, path, headers, clients=1).run(SECONDS)
            assert not load.failures, load.failures[:3]
            if number:  # the first round only warms up
                seconds[kind] += load.seconds
    return seconds


def _all_counted(settings: Mapping[str, Any], at_least: int) -> None:
    """Speed is worth nothing if uses got lost on the way: the server has stopped and must have written all."""
    app = create_app(settings)
    with app.app_context():
        found = db.session.scalar(select(func.sum(TokenUsage.requests))) or 0
        db.session.remove()
        db.engine.dispose()
    assert found >= at_least, f"{found} of at least {at_least} uses were counted"


def _figures(seconds: Mapping[str, list[float]]) -> Iterator[Figure]:
    nobody = seconds["nobody"]
    reference = "a route of the same app that asks nobody"
    for kind, words in KINDS.items():
        for name, of in (("p50", median), ("p95", lambda values: percentile(values, 95))):
            ours, raw = of(seconds[kind]) * 1000, of(nobody) * 1000
            yield Figure(f"a request with {words}, {name}", ours, "ms", raw, None, reference)
        added = (percentile(seconds[kind], 95) - percentile(nobody, 95)) * 1000
        what = f"what {words} adds, p95" + (f", {TOKENS:,} of them" if kind == "token" else "")
        yield Figure(what, added, "ms", None, AIM)
