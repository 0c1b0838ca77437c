"""The list of deployments with 100,000 of them in the table, against a bare Flask route that gives the same bytes."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.bench import bare, filling
from tests.bench.load import Load
from tests.bench.table import Figure, percentile
from tests.journeys.platform import Platform, Repository, User, python_app

ROWS = 100_000
AIM = 50.0
SECONDS = 8.0
THREADS = 16
ASKED = {
    "first page": "/api/v1/deployments",
    "by status": "/api/v1/deployments?status=failed",
    "by branch": "/api/v1/deployments?branch=feature-5",
    "page 500": "/api/v1/deployments?page=500",
    "search, rare": "/api/v1/deployments?search=number+99999",
}


def run(folder: Path) -> list[Figure]:
    platform = Platform(folder / "platform", {"WEB_THREADS": str(THREADS)}).start()
    try:
        user = platform.user()
        repository = Repository(folder / "shop")
        repository.commit(python_app())
        filling.deployments(platform, user.project(str(repository), name="shop"), ROWS)
        return _figures(user, folder)
    finally:
        platform.remove()


def _figures(user: User, folder: Path) -> list[Figure]:
    headers = {"Authorization": f"Bearer {user.token}"}
    body = httpx.get(f"http://127.0.0.1:{user.platform.port}{ASKED['first page']}", headers=headers).content
    with bare.gunicorn(folder / "bare", body, THREADS) as (_, port):
        Load(port, "/").run(1)
        raw, raw_alone = Load(port, "/").run(SECONDS), Load(port, "/", clients=1).run(SECONDS / 2)
    found = []
    for name, path in ASKED.items():
        Load(user.platform.port, path, headers).run(1)
        ours = Load(user.platform.port, path, headers, clients=1).run(SECONDS / 2)
        assert not ours.failures, ours.failures[:3]
        found.append(
            Figure(f"list of {ROWS:,} deployments, {name}, p95", percentile(ours.seconds, 95) * 1000, "ms",
                   percentile(raw_alone.seconds, 95) * 1000, AIM, "a bare Flask route with the same bytes")
        )  # fmt: skip
    ours = Load(user.platform.port, ASKED["first page"], headers).run(SECONDS)
    assert not ours.failures, ours.failures[:3]
    found.append(
        Figure(f"list of {ROWS:,} deployments, first page, 4 clients", ours.rate, "req/s", raw.rate, None,
               "a bare Flask route with the same bytes")
    )  # fmt: skip
    return found
