"""Sign-in in a real browser: through a provider's own page, and with a second factor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import oidc_provider_mock
import pyotp
import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import served
from tests.browser.test_journey import clean
from tests.conftest import PASSWORD
from tests.features.accounts.github_fixture import Github, running_github

pytestmark = pytest.mark.slow


@pytest.fixture
def github() -> Iterator[Github]:
    with running_github() as server:
        yield server


@pytest.fixture
def issuer() -> Iterator[str]:
    with oidc_provider_mock.run_server_in_thread() as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture
def address(tmp_path: Path, github: Github, issuer: str) -> Iterator[str]:
    """A DevFlow with both providers, at this address."""
    made = {
        **github.settings(), "oidc_issuer": issuer, "oidc_client_id": "devflow", "oidc_client_secret": "s",
        "oidc_name": "Acme",
    }  # fmt: skip
    with served(tmp_path, **made) as url:
        yield url


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    context = chromium.new_context(base_url=address, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(15_000)
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    yield opened
    context.close()
    assert wrong == []


def test_sign_in_on_the_providers_page_and_say_no_first(page: Page, issuer: str) -> None:
    claims = {"email": "grace@example.com", "email_verified": True, "name": "Grace Hopper"}
    requests.put(f"{issuer}/users/grace", json=claims, timeout=5).raise_for_status()
    page.goto("/login?next=/projects")
    clean(page)
    page.get_by_role("link", name="Continue with Acme").click()
    page.get_by_role("button", name="Deny").click()
    page.wait_for_url("**/login")
    expect(page.get_by_text("cancelled at the provider")).to_be_visible()
    page.goto("/login?next=/projects")
    page.get_by_role("link", name="Continue with Acme").click()
    page.get_by_placeholder("sub").fill("grace")
    page.get_by_role("button", name="Authorize").click()
    page.wait_for_url("**/projects")
    expect(page.get_by_text("Welcome, Grace Hopper")).to_be_visible()


def test_connect_github_switch_two_factor_on_and_sign_in_with_both(page: Page, github: Github) -> None:
    page.goto("/signup")
    page.get_by_label("Full name").fill("Ada Lovelace")
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create administrator").click()
    page.wait_for_url("**/dashboard")

    page.goto("/settings/github")
    clean(page)
    page.get_by_role("link", name="Connect GitHub").click()
    page.get_by_role("button", name="Authorize").click()
    page.wait_for_url("**/settings/github")
    expect(page.get_by_role("link", name="octocat")).to_be_visible()
    clean(page)

    page.goto("/settings/security")
    page.get_by_role("button", name="Set up").click()
    page.wait_for_url("**/settings/two-factor/setup")
    clean(page)
    totp = pyotp.TOTP(page.locator(".copyfield code").inner_text())
    page.get_by_label("Six digits").fill(totp.now())
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    clean(page)
    codes = page.locator("ul.font-mono li").all_inner_texts()
    with page.expect_download() as kept:
        page.get_by_role("link", name="Download").click()
    assert Path(kept.value.path()).read_text().split() == codes and len(codes) == 10
    page.goto("/settings/security")
    clean(page)
    page.goto("/confirm?next=/settings/security")
    clean(page)

    page.context.clear_cookies()
    page.goto("/login")
    page.get_by_role("link", name="Continue with GitHub").click()
    page.get_by_role("button", name="Authorize").click()
    page.wait_for_url("**/login/code")
    clean(page)
    page.keyboard.type(codes[0])  # the field has the focus
    page.keyboard.press("Enter")
    page.wait_for_url("**/dashboard")
    page.goto("/settings/security")
    page.get_by_role("button", name="Switch off").click()
    page.get_by_label("Code of your authenticator app").fill(codes[1])
    page.get_by_role("button", name="Switch off", exact=True).click()
    expect(page.get_by_text("Two-factor sign-in is off")).to_be_visible()
