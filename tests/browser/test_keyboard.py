"""Everything about access without a mouse: skip link, menus, dialogs, drawer and palette."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Locator, Page, StorageState, expect

from tests.browser.conftest import served
from tests.browser.test_access_pages import Caller, link, sign_in
from tests.conftest import PASSWORD

pytestmark = pytest.mark.slow

DIALOGS = {
    "/team": ["Actions for Bob Builder", "Remove…"],
    "/team/settings": ["Leave team…"],
    "/settings/security": ["End all others…"],
    "/settings/tokens/{token}": ["Revoke…"],
    "/admin/users": ["Actions for Bob Builder", "Switch off…"],
    "/admin/users/{bob}": ["Switch off…"],
    "/admin/roles/{role}": ["Delete role…"],
    "/projects/{slug}/settings": ["Delete project…"],
}
"""What opens a dialog, on each page that has one: the buttons to press in turn."""


@dataclass
class Place:
    """A DevFlow with a team of two, whose owner and administrator is signed in."""

    url: str
    ids: dict[str, str]
    session: StorageState


@pytest.fixture(scope="module")
def place(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with served(tmp_path_factory.mktemp("keyboard")) as url:
        ada = Caller(url, "/auth/register", name="Ada Lovelace", email="ada@example.com", password=PASSWORD)
        bob = Caller(url, "/auth/register", name="Bob Builder", email="bob@example.com", password=PASSWORD)
        team = ada.post("/teams", name="Storefront")["id"]
        made = ada.post("/projects", repository_url="https://example.com/shop", team_id=team)
        ids = {
            "bob": bob.http.get("/users/me").json()["data"]["id"],
            "role": ada.post("/security/roles", name="Release manager", permissions=["projects:read"])["id"],
            "token": ada.post("/dev/tokens", name="Pipeline", scopes=["read"], expires_in_days=30)["id"],
            "slug": made["slug"],
        }
        ada.http.headers["X-Team-Id"] = team
        ada.post("/team/members", email="bob@example.com", role="viewer")
        context = chromium.new_context(base_url=url)
        page = context.new_page()
        sign_in(page, "ada@example.com")
        page.locator("#side [popovertarget=teams]").click()
        page.locator("#teams").get_by_role("button", name="Storefront").click()
        expect(page.locator("#side [popovertarget=teams]")).to_contain_text("Storefront")
        bob.post(f"/team/invitations/{link(page, 'bob@example.com').rpartition('/')[2]}/accept")
        session = context.storage_state()
        context.close()
        yield Place(url, ids, session)


@pytest.fixture
def page(chromium: Browser, place: Place) -> Iterator[Page]:
    context = chromium.new_context(
        base_url=place.url, storage_state=place.session, viewport={"width": 1280, "height": 850}
    )
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


def focused(page: Page) -> Locator:
    return page.locator(":focus")


def inside(page: Page, selector: str) -> bool:
    """Is the focus in there, or on the browser's own controls, which a page cannot keep anybody from?"""
    return bool(
        page.evaluate("s => document.activeElement === document.body || !!document.activeElement.closest(s)", selector)
    )


def test_the_first_tab_skips_to_the_content(page: Page) -> None:
    page.goto("/dashboard")
    page.keyboard.press("Tab")
    expect(focused(page)).to_have_text("Skip to content")
    expect(focused(page)).to_be_in_viewport(ratio=1)
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_whatever_has_the_focus_shows_it(page: Page) -> None:
    page.goto("/team")
    seen = 0
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        style = focused(page).evaluate("e => { const s = getComputedStyle(e); return [s.outlineStyle, s.boxShadow] }")
        assert style[0] != "none" or style[1] != "none", focused(page).evaluate("e => e.outerHTML.slice(0, 120)")
        seen += 1
    assert seen > 15


def test_the_focus_is_on_what_is_wrong(chromium: Browser, place: Place) -> None:
    context = chromium.new_context(base_url=place.url)
    page = context.new_page()
    page.goto("/signup")
    page.keyboard.type("Ada again")
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_text("There is an account with this e-mail address already.")).to_be_visible()
    expect(page.get_by_label("E-mail")).to_be_focused()
    context.close()


@pytest.mark.parametrize(("button", "menu"), [("teams", "Storefront"), ("me", "Profile"), ("theme-menu", "Light")])
def test_a_menu_opens_and_is_walked_by_arrow_keys(page: Page, button: str, menu: str) -> None:
    page.goto("/dashboard")
    opener, entries = page.locator(f"[popovertarget={button}]"), page.locator(f"#{button}").locator("a, button")
    opener.focus()
    page.keyboard.press("ArrowDown")
    expect(entries.first).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(entries.last).to_be_focused()
    page.keyboard.press("Home")
    expect(entries.first).to_be_focused()
    page.keyboard.press("End")
    expect(entries.last).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(f"#{button}")).to_be_hidden()
    expect(opener).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(entries.first).to_be_focused()
    assert page.locator(f"#{button}").get_by_text(menu).count() == 1


@pytest.mark.parametrize("path", DIALOGS)
def test_a_dialog_takes_the_focus_keeps_it_and_gives_it_back(page: Page, place: Place, path: str) -> None:
    page.goto(path.format(**place.ids))
    opener = page.get_by_role("button", name=DIALOGS[path][0], exact=True)
    opener.focus()
    for name in DIALOGS[path]:
        page.get_by_role("button", name=name, exact=True).focus()
        page.keyboard.press("Enter")
    dialog = page.locator("dialog[open]")
    expect(dialog).to_be_visible()
    heading = page.locator(f"#{dialog.get_attribute('aria-labelledby')}")
    assert heading.inner_text().endswith("?"), "the title is the question"
    for _ in range(12):
        assert inside(page, "dialog[open]")
        page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(opener).to_be_focused()


def test_the_palette_and_the_search_are_a_key_away(page: Page) -> None:
    page.goto("/admin/users")
    page.keyboard.press("/")
    expect(page.get_by_label("Search users")).to_be_focused()
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name="Find anything")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_label("Search users")).to_be_focused()


def test_the_drawer_keeps_the_focus_until_escape(chromium: Browser, place: Place) -> None:
    context = chromium.new_context(
        base_url=place.url, storage_state=place.session, viewport={"width": 390, "height": 844}
    )
    page = context.new_page()
    page.goto("/team")
    page.get_by_role("button", name="Open menu").focus()
    page.keyboard.press("Enter")
    for _ in range(25):
        assert inside(page, "#side, .skip, #toasts")
        page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Open menu")).to_be_focused()
    context.close()
