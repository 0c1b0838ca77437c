"""The whole story in a browser: sign up, wizard, live log, visit, change, redeploy, roll back, cancel, delete."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from tests.journeys.platform import Platform, Repository, python_app

pytestmark = pytest.mark.slow
PASSWORD = "correct horse"
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}


def clean(page: Page) -> None:
    """axe finds nothing, and the page does not scroll sideways."""
    found = Axe().run(page, options=RULES)
    assert found.violations_count == 0, f"{page.url}\n{found.generate_report()}"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{page.url} scrolls sideways"


def slow_dockerfile(seconds: int) -> str:
    lines = ["FROM python:3.13-slim", f"RUN echo waiting && sleep {seconds}", "COPY main.py .", "ENV PORT=8000"]
    return "\n".join([*lines, "EXPOSE 8000", 'CMD ["python", "-u", "main.py"]', ""])


def test_the_whole_story(page: Page, context: BrowserContext, fresh_platform: Platform, tmp_path: Path) -> None:
    code = Repository(tmp_path / "guestbook")
    code.commit(python_app("first words"), "Say the first words")

    # Sign up: the first account becomes the administrator and is told so.
    page.goto("/")
    clean(page)
    page.get_by_role("link", name="Get started").first.click()
    expect(page.get_by_text("first account becomes the administrator")).to_be_visible()
    clean(page)
    page.get_by_label("Full name").fill("Ada Lovelace")
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create administrator").click()
    page.wait_for_url("**/dashboard")
    expect(page.get_by_text("Put your first app online")).to_be_visible()
    clean(page)

    # The wizard: a wrong address is told at its field, the right one leads on.
    page.get_by_role("link", name="Deploy a repository").first.click()
    page.get_by_label("Address").fill(str(tmp_path / "nothing-here"))
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#form .bad").first).to_be_visible()
    clean(page)
    page.get_by_label("Address").fill(str(code))
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/deploy/configure")
    expect(page.get_by_role("heading", name=re.compile("Python"))).to_be_visible()
    clean(page)
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("**/deploy/confirm")
    clean(page)
    page.get_by_role("button", name="Deploy", exact=True).click()
    page.wait_for_url(re.compile("/deployments/[0-9a-f-]{36}"))

    # The log moves by itself until the version is live.
    expect(page.locator("#head .status")).to_contain_text("Live", timeout=60_000)
    expect(page.locator("#log .ln").first).to_be_visible()
    expect(page.locator("#log")).to_contain_text("The edge answered 200 with the new version")
    lines = page.locator("#log [data-lines]").inner_text()
    clean(page)
    page.reload()
    expect(page.locator("#log [data-lines]")).to_have_text(lines)  # nothing lost, nothing twice
    with context.expect_page() as visit:
        page.get_by_role("link", name="Visit site").click()
    expect(visit.value.locator("body")).to_have_text("first words")
    visit.value.close()

    # A change is pushed and deployed.
    code.commit(python_app("second words"), "Say the second words")
    page.get_by_role("link", name="guestbook", exact=True).first.click()
    expect(page.get_by_role("heading", name="guestbook")).to_be_visible()
    clean(page)
    page.get_by_role("button", name="Deploy main").click()
    page.wait_for_url(re.compile("/deployments/[0-9a-f-]{36}"))
    expect(page.locator("#head h1")).to_have_text("Say the second words", timeout=30_000)
    expect(page.locator("#head .status")).to_contain_text("Live", timeout=60_000)
    assert fresh_platform.visit("guestbook.localhost").text == "second words"

    # Redeploy, and back to the first version.
    second = page.url
    page.get_by_role("button", name="Redeploy").click()
    page.wait_for_url(lambda url: url != second and "/deployments/" in url)
    expect(page.locator("#head .status")).to_contain_text("Live", timeout=60_000)
    page.goto("/deployments")
    expect(page.locator("#rows tr[id^='d-']")).to_have_count(3)
    clean(page)
    page.get_by_role("button", name="Actions for guestbook #1").click()
    page.get_by_role("button", name="Roll back to this…").click()
    page.get_by_role("button", name="Roll back", exact=True).click()
    page.wait_for_url(re.compile("/deployments/[0-9a-f-]{36}"))
    expect(page.locator("#head .status")).to_contain_text("Live", timeout=60_000)
    assert fresh_platform.visit("guestbook.localhost").text == "first words"

    # A long build is cancelled; what serves goes on serving.
    code.commit({"Dockerfile": slow_dockerfile(300)}, "Take for ever")
    page.goto("/projects/guestbook")
    page.get_by_role("button", name="Deploy main").click()
    page.wait_for_url(re.compile("/deployments/[0-9a-f-]{36}"))
    expect(page.locator("#log")).to_contain_text("waiting", timeout=30_000)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#head .status")).to_contain_text("Cancelled")
    assert fresh_platform.visit("guestbook.localhost").text == "first words"

    # One deployment is deleted, then the project with everything it has.
    page.goto("/deployments?status=cancelled")
    page.get_by_role("button", name="Actions for guestbook #5").click()
    page.get_by_role("button", name="Delete…").click()
    page.locator("#delete-i").fill("guestbook")
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("Deployment deleted")).to_be_visible()
    page.goto("/projects/guestbook/settings")
    clean(page)
    page.get_by_role("button", name="Delete project…").click()
    page.locator("dialog[open] input[type=text]").fill("guestbook")
    page.get_by_role("button", name="Delete project", exact=True).click()
    page.wait_for_url("**/projects")
    expect(page.get_by_text("guestbook deleted")).to_be_visible()


PAGES = [
    "/dashboard", "/projects", "/deployments", "/deploy", "/settings", "/settings?tab=appearance",
    "/settings?tab=sessions", "/admin", "/audit", "/docs", "/terms", "/privacy", "/nothing-here",
]  # fmt: skip


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible(context: BrowserContext, shared_platform: Platform, width: int, scheme: Any) -> None:
    user = shared_platform.user("Grace")
    page = context.new_page()
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 850})
    page.goto("/login")
    clean(page)
    page.get_by_label("E-mail").fill(user.email)
    page.get_by_label("Password", exact=True).fill(user.password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/dashboard")
    for path in PAGES:
        page.goto(path)
        clean(page)
