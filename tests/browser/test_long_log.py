"""A long log opens at its end and fills up behind: nothing lost, nothing twice, and everything works meanwhile."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from devflow.adapters.logs import open_logs
from devflow.core.settings import Settings
from devflow.ports.logs import Level
from tests.bench import filling
from tests.journeys.platform import Platform, Repository, User, python_app, wait_for

pytestmark = pytest.mark.slow
LINES = 12_000
EARLIER = re.compile("/earlier")
CALLS = "[...document.querySelectorAll('#log summary .truncate')].map(e => e.textContent)"


@pytest.fixture(scope="module")
def user(shared_platform: Platform) -> User:
    return shared_platform.user("Linus")


@pytest.fixture(scope="module")
def project(user: User, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    repository = Repository(tmp_path_factory.mktemp("long") / "long")
    repository.commit(python_app())
    return user.project(str(repository), name="long")


@pytest.fixture(scope="module")
def finished(shared_platform: Platform, project: dict[str, Any]) -> str:
    """A deployment that is over, with three steps; a warning, an error, and lines of no step of their own."""
    deployment = filling.deployments(shared_platform, project, 1)[0]
    logs = open_logs(Settings(data_dir=shared_platform.folder))
    writer = logs.writer(f"deployment/{project['id']}/{deployment}")
    for number in range(1, LINES + 1):
        step = "clone" if number <= 20 else "build" if number < LINES - 50 else "run"
        level: Level = "error" if number == 700 else "warning" if number in (300, LINES - 5) else "info"
        writer.write(f"line {number}", step="" if number % 400 == 2 else step, level=level)
    writer.close()
    logs.close()
    return deployment


@pytest.fixture
def signed_in(page: Page, context: BrowserContext, user: User) -> Page:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/login")
    page.get_by_label("E-mail").fill(user.email)
    page.get_by_label("Password", exact=True).fill(user.password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/dashboard")
    return page


@pytest.fixture
def held(signed_in: Page) -> Iterator[Callable[[], None]]:
    """Earlier lines are held back until this is called."""
    waiting: list[Route] = []
    free = False

    def hold(route: Route) -> None:
        route.continue_() if free else waiting.append(route)

    def release() -> None:
        nonlocal free
        free = True
        while waiting:
            waiting.pop().continue_()

    signed_in.route(EARLIER, hold)
    yield release
    release()


def told(page: Page) -> Any:
    return expect(page.locator("#log [data-lines]"))


def shown(page: Page) -> list[int]:
    """The numbers of the lines that stand in the window."""
    found: list[int] = page.evaluate(
        """() => { const v = document.querySelector('#log .view').getBoundingClientRect()
        return [...document.querySelectorAll('#log .ln')].filter(e => { const r = e.getBoundingClientRect()
          return r.height && r.top >= v.top - 1 && r.bottom <= v.bottom + 1 }).map(e => +e.firstChild.textContent) }"""
    )
    return found


def copied(page: Page) -> list[str]:
    page.get_by_role("button", name="Copy log").click()
    expect(page.get_by_text("Log copied").first).to_be_visible()
    text: str = page.evaluate("navigator.clipboard.readText()")
    return [line.split(" ", 1)[1] for line in text.split("\n")]


def test_the_end_is_there_first_and_then_everything(signed_in: Page, held: Callable[[], None], finished: str) -> None:
    page = signed_in
    page.goto(f"/deployments/{finished}")
    told(page).to_have_text(re.compile(r"^(1,9\d\d|2,000) of 12,000 lines$"))
    assert page.evaluate(CALLS) == ["Build", "Run"]
    held()
    told(page).to_have_text("12,000 lines")
    assert page.evaluate(CALLS) == ["Clone", "Build", "Run"]
    assert page.evaluate("[...document.querySelectorAll('#log .meta > :first-child')].map(e => e.textContent)") == [
        "20 lines", "11,929 lines", "51 lines",
    ]  # fmt: skip
    assert copied(page) == [f"line {number}" for number in range(1, LINES + 1)]
    page.get_by_role("button", name="Jump to the first error").click()
    assert 700 in shown(page)


def test_a_link_to_an_early_line_waits_for_it(signed_in: Page, held: Callable[[], None], finished: str) -> None:
    page = signed_in
    page.goto(f"/deployments/{finished}#L137")
    told(page).to_have_text(re.compile("of 12,000 lines"))
    held()
    expect(page.locator("#log .ln[data-target]")).to_contain_text("line 137")
    assert 137 in shown(page)
    told(page).to_have_text("12,000 lines")
    assert 137 in shown(page)


def test_what_is_read_stays_where_it_is(signed_in: Page, held: Callable[[], None], finished: str) -> None:
    page = signed_in
    page.goto(f"/deployments/{finished}#L11000")
    expect(page.locator("#log .ln[data-target]")).to_contain_text("line 11000")
    page.evaluate("document.querySelector('#log .view').scrollTop += 300")
    seen = shown(page)
    held()
    told(page).to_have_text("12,000 lines")
    now = shown(page)
    assert abs(now[0] - seen[0]) <= 1, (seen, now)


def test_search_and_trouble_take_in_what_comes_later(signed_in: Page, held: Callable[[], None], finished: str) -> None:
    page = signed_in
    page.goto(f"/deployments/{finished}")
    told(page).to_have_text(re.compile("of 12,000 lines"))
    found = page.locator("#log [data-found]")
    page.locator("#find").fill("line 11999")
    expect(found).to_have_text("1/1")
    page.locator("#find").fill("00")
    expect(found).to_have_text(re.compile(r"^1/\d\d\d$"))
    page.get_by_role("button", name="Next match").click()
    held()
    told(page).to_have_text("12,000 lines")
    total = sum(text.count("00") for text in (f"line {number}" for number in range(1, LINES + 1)))
    expect(found).to_have_text(re.compile(rf"/{total:,}$"))
    assert int(found.inner_text().split("/")[0].replace(",", "")) > 2, "the same match is still the current one"
    page.get_by_role("button", name="Warnings and errors only").click()
    page.locator("#find").fill("")
    assert page.locator("#log .ln").count() == 3
    page.reload()
    told(page).to_have_text("12,000 lines")


def test_only_trouble_while_it_fills(signed_in: Page, held: Callable[[], None], finished: str) -> None:
    page = signed_in
    page.goto(f"/deployments/{finished}")
    told(page).to_have_text(re.compile("of 12,000 lines"))
    page.get_by_role("button", name="Warnings and errors only").click()
    expect(page.locator("#log .ln")).to_have_count(1)
    held()
    told(page).to_have_text("12,000 lines")
    expect(page.locator("#log .ln")).to_have_text(
        [re.compile("line 300$"), re.compile("line 700$"), re.compile("line 11995$")]
    )
    page.get_by_role("button", name="Warnings and errors only").click()
    assert copied(page) == [f"line {number}" for number in range(1, LINES + 1)]


def test_a_broken_answer_is_asked_for_again(signed_in: Page, finished: str) -> None:
    page, tries = signed_in, 0

    def break_first(route: Route) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            answer = route.fetch()
            route.fulfill(response=answer, body=answer.body()[:300_000])
        else:
            route.continue_()

    page.route(EARLIER, break_first)
    page.goto(f"/deployments/{finished}")
    told(page).to_have_text("12,000 lines")
    assert tries == 2
    assert copied(page) == [f"line {number}" for number in range(1, LINES + 1)]


def test_following_goes_on_while_it_fills(
    signed_in: Page, held: Callable[[], None], user: User, tmp_path: Path
) -> None:
    repository = Repository(tmp_path / "talker")
    run = "RUN seq 1 9000 && sleep 4 && seq 9001 9100 && sleep 300"
    repository.commit({"Dockerfile": f"FROM python:3.13-slim\n{run}\n"})
    deployment = user.deploy(user.project(str(repository), name="talker"))
    wait_for(lambda: user.call("GET", f"/deployments/{deployment['id']}/logs")["total_lines"] > 9000, says="the build")
    page = signed_in
    page.goto(f"/deployments/{deployment['id']}")
    told(page).to_have_text(re.compile(" of 9,"))
    expect(page.locator("#log [data-follow]")).to_have_text("Following the newest line")
    held()
    expect(page.locator("#log .ln").last).to_contain_text("9100", timeout=15_000)
    told(page).to_have_text(re.compile(r"^9,1\d\d lines"))
    expect(page.locator("#log [data-follow]")).to_have_text("Following the newest line")
    numbers = [int(line) for line in copied(page) if line.isdigit()]
    assert numbers == list(range(1, 9101))
    assert page.evaluate(
        "(v => v.scrollHeight - v.scrollTop - v.clientHeight < 30)(document.querySelector('#log .view'))"
    )
    user.call("POST", f"/deployments/{deployment['id']}/cancel")
