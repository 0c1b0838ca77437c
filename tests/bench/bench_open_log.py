"""How long a log of 100,000 lines takes to open in a browser."""

from __future__ import annotations

import time
from html import escape
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, sync_playwright

from tests.bench import bare, filling
from tests.bench.table import Figure
from tests.browser.conftest import CHROMIUM, FLAGS
from tests.journeys.platform import Platform, Repository, User, python_app

LINES = 100_000
ROUNDS = 7
AIM = 0.5
ENDED = f"document.querySelector('#log [data-lines]')?.textContent.endsWith('{LINES:,} lines')"
SEEN = "document.querySelector('#log summary') !== null"
WHOLE = f"document.querySelector('#log [data-lines]')?.textContent.startsWith('{LINES:,}')"


def run(folder: Path) -> list[Figure]:
    platform = Platform(folder / "platform").start()
    try:
        user = platform.user()
        repository = Repository(folder / "long")
        repository.commit(python_app())
        project = user.project(str(repository), name="long")
        deployment = filling.deployments(platform, project, 1)[0]
        filling.log(platform, str(project["id"]), deployment, LINES)
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_context(viewport={"width": 1280, "height": 900}, bypass_csp=True).new_page()
            _sign_in(page, user)
            ours = [_opened(page, user, deployment) for _ in range(ROUNDS)][1:]
            raw = _raw(page, folder, user.log({"id": deployment}))
            browser.close()
    finally:
        platform.remove()
    return _figures(ours, raw)


def _figures(ours: list[tuple[float, float, float]], raw: float) -> list[Figure]:
    reference = "one static page with the same text"
    seen, ended, whole = (median(column) for column in zip(*ours, strict=True))
    return [
        Figure(f"a log of {LINES:,} lines opens in the browser: its steps to see", seen, "s", raw, AIM, reference),
        Figure("the same: its last lines", ended, "s", raw, AIM, reference),
        Figure("the same: every line there to search and scroll", whole, "s", raw, AIM, reference),
    ]


def _opened(page: Page, user: User, deployment: str) -> tuple[float, float, float]:
    """Seconds from leaving the list to the first step of the log, to its last lines, and to all of them."""
    page.goto(f"http://localhost:{user.platform.http_port}/deployments")
    began = time.perf_counter()
    page.goto(f"http://localhost:{user.platform.http_port}/deployments/{deployment}", wait_until="commit")
    page.wait_for_function(SEEN)
    seen = time.perf_counter() - began
    page.wait_for_function(ENDED)
    ended = time.perf_counter() - began
    page.wait_for_function(WHOLE)
    return seen, ended, time.perf_counter() - began


def _raw(page: Page, folder: Path, text: str) -> float:
    body = f"<!doctype html><title>log</title><pre>{escape(text)}</pre><p id=end>"
    taken = []
    with bare.gunicorn(folder / "bare", body.encode(), 4, "text/html") as (_, port):
        page.goto(f"http://127.0.0.1:{port}/none")
        for _ in range(ROUNDS):
            began = time.perf_counter()
            page.goto(f"http://127.0.0.1:{port}/", wait_until="commit")
            page.wait_for_function("document.getElementById('end') && document.body.offsetHeight > 0")
            taken.append(time.perf_counter() - began)
    return median(taken[1:])


def _sign_in(page: Page, user: User) -> None:
    page.goto(f"http://localhost:{user.platform.http_port}/login")
    page.get_by_label("E-mail").fill(user.email)
    page.get_by_label("Password", exact=True).fill(user.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/dashboard")
