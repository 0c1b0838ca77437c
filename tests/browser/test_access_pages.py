"""The pages about who may do what: each one by axe in both themes and on a phone, and how people come and go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, StorageState, expect

from tests.browser.conftest import served
from tests.browser.test_journey import clean
from tests.conftest import PASSWORD

pytestmark = pytest.mark.slow

OUTSIDE = [
    "/", "/login", "/signup", "/forgot-password", "/reset-password", "/reset-password?token=old", "/verify-email",
    "/verify-email?token=old", "/invitations/old", "/invitations/{invitation}", "/docs", "/terms", "/privacy",
    "/nothing-here", "/login?invite_token=old&email=a@example.com", "/signup?invite_token=old&email=a@example.com",
]  # fmt: skip
"""What somebody sees who has not signed in."""

INSIDE = {
    "Settings": [
        "/settings", "/settings/security", "/settings/two-factor/setup", "/settings/notifications",
        "/settings/appearance", "/settings/github", "/settings/account", "/settings/tokens", "/settings/tokens/new",
        "/settings/tokens/{token}", "/settings/tokens/{token}/scopes",
    ],
    "Members": [
        "/team", "/team?search=nobody", "/team?invited=2", "/team/invite", "/team/access", "/team/activity",
        "/team/settings", "/teams/new", "/team/service-accounts", "/team/service-accounts?search=nobody",
        "/team/service-accounts/new", "/team/service-accounts/{account}", "/team/service-accounts/{account}/edit",
        "/team/service-accounts/{account}/tokens/new", "/settings/tokens/{account_token}",
        "/security/why", "/security/why?place=team:{team}&permission=members:manage",
    ],
    "Projects": ["/projects/{slug}/access", "/projects/{slug}/access?search=nobody"],
    "Overview": ["/dashboard"],
    "Audit": ["/audit", "/audit?search=nothing-like-it", "/audit/mine"],
    "Admin": [
        "/admin", "/admin/users", "/admin/users?search=nobody", "/admin/users/{user}", "/admin/roles",
        "/admin/roles/new", "/admin/roles/{role}", "/admin/roles/{built_in}", "/admin/audit", "/admin/mail",
        "/security/why?user_id={user}",
    ],
}  # fmt: skip
"""Pages behind the sign-in, by the entry of the sidebar they belong to."""


@dataclass
class Place:
    """A DevFlow where a few people work, and how to get in as its administrator."""

    url: str
    ids: dict[str, str]
    session: StorageState


class Caller:
    """Somebody who asks the API."""

    def __init__(self, url: str, path: str, **body: str) -> None:
        self.http = httpx.Client(base_url=f"{url}/api/v1", timeout=30)
        self.http.headers["Authorization"] = f"Bearer {self.post(path, **body)['access_token']}"

    def post(self, path: str, **body: Any) -> Any:
        answer = self.http.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()["data"]


def sign_in(page: Page, email: str) -> None:
    page.goto("/login")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/dashboard")


@pytest.fixture(scope="module")
def place(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with served(tmp_path_factory.mktemp("access")) as url:
        ada = Caller(url, "/auth/register", name="Ada Lovelace", email="ada@example.com", password=PASSWORD)
        bob = Caller(url, "/auth/register", name="Bob " + "Hyphenated-" * 8, email="bob@example.com", password=PASSWORD)
        user = bob.http.get("/users/me").json()["data"]["id"]
        team = ada.http.get("/teams").json()["data"][0]["id"]
        ada.post("/team/members", email="bob@example.com", role="viewer")
        invited = ada.post("/team/members", email="carol@example.com", role="member")
        role = ada.post("/security/roles", name="Release manager", permissions=["projects:read", "deployments:create"])
        token = ada.post("/dev/tokens", name="Pipeline", scopes=["read"], expires_in_days=30)
        machine = ada.post("/team/service-accounts", name="GitHub Actions", role="member")
        machine_token = ada.post(f"/team/service-accounts/{machine['id']}/tokens", name="Deploys", scopes=["deploy"])
        made = ada.post("/projects", repository_url="https://example.com/guestbook")
        ada.post("/security/access", project_id=made["id"], email="guest@example.com", role_id=role["id"])
        roles = ada.http.get("/security/roles").json()["data"]
        context = chromium.new_context(base_url=url)
        page = context.new_page()
        sign_in(page, "ada@example.com")
        page.goto("/settings/security")
        page.get_by_role("button", name="Set up").click()
        page.wait_for_url("**/settings/two-factor/setup")
        ids = {
            "user": user, "team": team, "role": role["id"], "token": token["id"],
            "account": machine["id"], "account_token": machine_token["id"], "slug": made["slug"],
            "built_in": next(r["id"] for r in roles if r["is_system"]),
            "invitation": link(page, "carol@example.com").rpartition("/")[2],
        }  # fmt: skip
        assert invited["status"] == "pending"
        session = context.storage_state()
        context.close()
        yield Place(url, ids, session)


def link(page: Page, email: str) -> str:
    """The link of an invitation that is waiting: made anew, because each is shown once."""
    page.goto("/team")
    page.get_by_role("button", name=f"Actions for {email}").click()
    page.get_by_role("button", name="Send again").click()
    return page.locator(".copyfield code").inner_text()


def _page(chromium: Browser, place: Place, **options: Any) -> Page:
    context = chromium.new_context(base_url=place.url, **options)
    context.set_default_timeout(15_000)
    return context.new_page()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_about_access_is_accessible(chromium: Browser, place: Place, width: int, scheme: Any) -> None:
    options = {"viewport": {"width": width, "height": 850}, "color_scheme": scheme, "reduced_motion": "reduce"}
    stranger = _page(chromium, place, **options)
    for path in OUTSIDE:
        stranger.goto(path.format(**place.ids))
        clean(stranger)
    ada = _page(chromium, place, storage_state=place.session, **options)
    for entry, paths in INSIDE.items():
        for path in paths:
            ada.goto(path.format(**place.ids))
            clean(ada)
            _tells_where_it_is(ada, entry)
    for path in ("/nothing-here", "/confirm?next=/settings"):
        ada.goto(path)
        clean(ada)
    stranger.context.close()
    ada.context.close()


def _tells_where_it_is(page: Page, entry: str) -> None:
    """One entry of the sidebar is current, one tab at most and in sight; crumbs start at the team."""
    assert page.locator("#side [aria-current]").all_text_contents() == [entry], page.url
    assert page.locator("h1").count() == 1, page.url
    assert page.locator(".crumbs li").first.text_content() == "Ada Lovelace", page.url
    assert page.locator(".crumbs [aria-current]").count() == 1, page.url
    assert page.title().endswith(" · DevFlow"), page.url
    tab = page.locator(".tabline [aria-current]")
    assert tab.count() <= 1, page.url
    if tab.count():
        expect(tab).to_be_in_viewport(ratio=1)


def test_the_audit_on_paper_tells_exact_times_and_nothing_to_press(chromium: Browser, place: Place) -> None:
    page = _page(chromium, place, storage_state=place.session, color_scheme="dark")
    page.goto("/audit/mine")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    for unwanted in ("#side", ".top", ".filters", ".tabline"):
        expect(page.locator(unwanted).first).to_be_hidden()
    assert page.locator("main button:visible").count() == 0 and page.locator("html.dark").count() == 0
    moment = page.locator("summary time:visible").first
    printed = moment.evaluate("e => getComputedStyle(e, '::after').content")
    assert printed.strip('"') == moment.get_attribute("title") and printed.endswith('UTC"')
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("html.dark").count() == 1
    page.context.close()


@pytest.fixture
def two(chromium: Browser, tmp_path: Path) -> Iterator[tuple[BrowserContext, BrowserContext]]:
    """An empty DevFlow and the browsers of two people."""
    with served(tmp_path) as url:
        both = [chromium.new_context(base_url=url, viewport={"width": 1280, "height": 900}) for _ in range(2)]
        for context in both:
            context.set_default_timeout(15_000)
        yield both[0], both[1]
        for context in both:
            context.close()


def test_invited_joined_worked_and_removed(two: tuple[BrowserContext, BrowserContext]) -> None:
    ada, bob = two[0].new_page(), two[1].new_page()
    ada.goto("/signup")
    ada.get_by_label("Full name").fill("Ada Lovelace")
    ada.get_by_label("E-mail").fill("ada@example.com")
    ada.get_by_label("Password", exact=True).fill(PASSWORD)
    ada.get_by_role("button", name="Create administrator").click()
    ada.wait_for_url("**/dashboard")
    url = ada.url.removesuffix("/dashboard")

    # Nobody may sign up any more; a team, and somebody is invited into it.
    ada.goto("/admin")
    ada.get_by_text("Nobody", exact=True).click()
    ada.get_by_role("button", name="Save rules").click()
    expect(ada.get_by_text("Saved", exact=True)).to_be_visible()
    ada.goto("/teams/new")
    ada.keyboard.type("Search")  # the field has the focus
    ada.keyboard.press("Enter")
    ada.wait_for_url("**/team")
    ada.get_by_role("link", name="Invite", exact=True).click()
    ada.get_by_label("E-mail").fill("bob@example.com")
    ada.get_by_role("button", name="Make invitation").dblclick()
    expect(ada.get_by_role("heading", name="Pass the invitation on")).to_be_visible()
    link = ada.locator(".copyfield code").inner_text()
    ada.reload()  # nothing is sent twice
    expect(ada.get_by_role("heading", name="Invitations")).to_be_visible()
    assert ada.get_by_text("bob@example.com").count() == 1

    # The newcomer gets in although sign-up is closed, and only through the link.
    bob.goto("/signup")
    expect(bob.get_by_text("Only invited people can join here.")).to_be_visible()
    bob.goto(link)
    bob.get_by_role("link", name="Create an account").click()
    bob.get_by_label("Full name").fill("Bob Newcomer")
    bob.get_by_label("Password", exact=True).fill(PASSWORD)
    bob.get_by_role("button", name="Create account").click()
    bob.get_by_role("button", name="Accept and join").click()
    expect(bob.get_by_text("You belong to Search now")).to_be_visible()
    expect(bob.locator("#side [popovertarget=teams]")).to_contain_text("Search")

    # A project of the team, seen on its page and with a token made in the browser.
    owner = Caller(url, "/auth/login", email="ada@example.com", password=PASSWORD)
    teams = {team["name"]: team["id"] for team in owner.http.get("/teams").json()["data"]}
    made = owner.post("/projects", repository_url="https://example.com/guestbook", team_id=teams["Search"])
    seen = bob.goto(f"/projects/{made['slug']}")
    assert seen is not None and seen.status == 200
    bob.goto("/settings/tokens/new")
    bob.keyboard.type("Pipeline")
    bob.get_by_role("button", name="Make token").click()
    value = bob.locator(".copyfield code").first.inner_text()
    bob.reload()  # it is shown once, and not made twice
    expect(bob.get_by_role("heading", name="Pipeline", exact=True)).to_be_visible()
    assert value not in bob.content()
    api = httpx.Client(base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {value}"}, timeout=30)
    assert api.get(f"/projects/{made['id']}").status_code == 200

    # Removed: the project does not exist for him from that moment, on the page and for the token.
    bob.goto(f"/projects/{made['slug']}")
    ada.goto("/team")
    ada.get_by_role("button", name="Actions for Bob Newcomer").click()
    ada.get_by_role("button", name="Remove…").click()
    ada.get_by_role("button", name="Remove", exact=True).click()
    expect(ada.get_by_text("Bob Newcomer removed")).to_be_visible()
    gone = bob.reload()
    assert gone is not None and gone.status == 404
    expect(bob.get_by_role("heading", name="Nothing here")).to_be_visible()
    assert api.get(f"/projects/{made['id']}").status_code == 404
    bob.goto("/dashboard")
    expect(bob.locator("#side [popovertarget=teams]")).to_contain_text("Bob Newcomer")
