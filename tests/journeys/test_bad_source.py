"""Bad days of the source: every address, repository and tree a deployment can be given that it cannot use."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.journeys.platform import Platform, Repository, User, free_port, python_app
from tests.journeys.remains import nothing_is_left
from tests.ports.git_fixtures import PASSWORD, USER, GitServer, Repo, git

pytestmark = pytest.mark.slow


class _Pages(BaseHTTPRequestHandler):
    """A web site that answers every address with a page, as many do."""

    def do_GET(self) -> None:
        body = b"<!doctype html>\n<h1>Not git</h1>\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        pass


@dataclass
class Sources:
    """Repositories of every kind, made once for all stories, and the servers that give them."""

    folder: Path
    server: GitServer
    pages: str
    closed: int = field(default_factory=free_port)

    def url(self, name: str) -> str:
        """Where a case's repository is; names without a server of their own are bare folders."""
        places = {
            "unknown-host": "https://no-such-host.invalid/team/shop.git",
            "closed-port": f"http://127.0.0.1:{self.closed}/shop.git",
            "not-git": f"{self.pages}/shop.git",
            "missing": f"{self.server.url}/missing.git",
            "private": f"{self.server.url}/private/good.git",
            "plain-folder": str(self.folder / "plain"),
            "no-folder": str(self.folder / "nowhere"),
        }
        return places.get(name, str(self.folder / f"{name}.git"))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sources]:
    folder = tmp_path_factory.mktemp("sources")
    server = GitServer(folder)
    pages = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    threading.Thread(target=pages.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    made = Sources(folder, server, f"http://127.0.0.1:{pages.server_port}")
    _make(made)
    yield made
    pages.shutdown()
    pages.server_close()
    server.stop()


def _make(sources: Sources) -> None:
    folder = sources.folder
    (folder / "plain").mkdir()
    (folder / "plain" / "index.html").write_text("no history")
    good = Repo(folder, "good")
    good.commit({"index.html": "the good one"})
    good.commit({"index.html": "another one"}, branch="feature/mian")
    Repo(folder, "empty")
    Repo(folder, "notes").commit({"notes.txt": "nothing that runs", "docs/plan.txt": "later"})
    Repo(folder, "monorepo").commit({"apps/shop/app.py": "import flask", "readme.txt": "look in apps"})
    Repo(folder, "broken-manifest").commit({"package.json": '{"name": "shop",'})
    Repo(folder, "large").commit({"index.html": "large", "film.bin": _noise(3_000_000)})
    linked = Repo(folder, "linked")
    (linked.work / "passwords").symlink_to("/etc/passwd")
    linked.commit({"index.html": "look"})
    _make_submodule(Repo(folder, "parent"), Repo(folder, "child"))


def _make_submodule(parent: Repo, child: Repo) -> None:
    """A submodule whose repository was removed after it had been added."""
    child.commit({"theme.css": "h1 {}"})
    parent.commit({"index.html": "parent"})
    git(parent.work, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(child.bare), "theme")
    parent.commit({})
    child.bare.rename(child.bare.with_name("moved-away"))


def _noise(size: int) -> bytes:
    """Bytes that do not compress and are the same each time."""
    done = subprocess.run(
        ("openssl", "enc", "-aes-128-ctr", "-K", "0" * 32, "-iv", "0" * 32), input=bytes(size), capture_output=True
    )
    assert len(done.stdout) == size, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Bad:
    """A source, what the project and the deployment say about it, and what has to be told."""

    source: str
    cause: str
    says: str
    hint: str = ""
    project: dict[str, Any] = field(default_factory=dict)
    deploy: dict[str, Any] = field(default_factory=dict)


BAD = {
    "unknown host": Bad("unknown-host", "clone_failed", "The host no-such-host.invalid is not known", "typing error"),
    "closed port": Bad("closed-port", "clone_failed", "127.0.0.1:", "may reach it"),
    "a web page": Bad("not-git", "clone_failed", "/shop.git is not a git repository", "Check the address"),
    "404": Bad("missing", "access_denied", "There is no repository at http", "add a deploy key or an access token"),
    "private without a key": Bad("private", "access_denied", "did not let DevFlow read", "deploy key or an access"),
    "folder without git": Bad("plain-folder", "clone_failed", "/plain is not a git repository", "Check the address"),
    "no such folder": Bad("no-folder", "clone_failed", "/nowhere is not a git repository", "Check the address"),
    "empty": Bad("empty", "repository_empty", "no commit yet", "Push a first commit"),
    "branch gone": Bad(
        "good", "branch_not_found", "no branch or tag 'feature/main'", "feature/mian", deploy={"branch": "feature/main"}
    ),
    "commit gone": Bad(
        "good", "commit_not_found", "no commit beefbeefbeef", "newer commit", deploy={"commit_hash": "beef" * 10}
    ),
    "submodule gone": Bad("parent", "submodule_failed", "The submodule theme could not", ".gitmodules"),
    "link out of the tree": Bad("linked", "unsafe_symlink", "The link passwords leads out of", "file itself"),
    "nothing to detect": Bad("notes", "nothing_detected", "Nothing at the top of the repository", "Dockerfile"),
    "app in a subfolder": Bad("monorepo", "nothing_detected", "at the top of", "root directory to apps/shop"),
    "wrong root directory": Bad(
        "monorepo", "root_directory_missing", "The root directory apps/shpo is not", "apps",
        project={"root_directory": "apps/shpo"},
    ),
    "broken manifest": Bad("broken-manifest", "manifest_invalid", "package.json cannot", "Correct package.json"),
}  # fmt: skip


@pytest.fixture(scope="module")
def serving(platform: Platform, sources: Sources) -> tuple[User, dict[str, Any]]:
    """A project with a version that serves; each case gives it something bad to deploy."""
    user = platform.user("Serving")
    project = user.project(sources.url("good"), name="bad-source")
    first = user.ended(user.deploy(project))
    assert first["status"] == "success", user.log(first)
    return user, project


@pytest.mark.parametrize("case", BAD)
def test_a_bad_source_fails_with_its_cause_and_the_old_version_serves(
    case: str, platform: Platform, sources: Sources, serving: tuple[User, dict[str, Any]]
) -> None:
    bad, (user, project) = BAD[case], serving
    plain = {"root_directory": "", "branch": "main"}
    user.call("PUT", f"/projects/{project['id']}", repository_url=sources.url(bad.source), **{**plain, **bad.project})
    failed = user.ended(user.deploy(project, **bad.deploy), 40)
    _told(user, failed, bad)
    assert platform.visit(f"{project['slug']}.localhost").text == "the good one"
    assert user.call("GET", f"/deployments?project_id={project['id']}&status=active") == []
    nothing_is_left(platform, failed)


def _told(user: User, failed: dict[str, Any], bad: Bad) -> None:
    """The record, its stages and its log tell the same, true story."""
    log = user.log(failed)
    assert (failed["status"], failed["error_cause"]) == ("failed", bad.cause), log
    assert bad.says in failed["error_message"] and failed["error_message"].endswith((".", "…")), failed["error_message"]
    assert bad.hint in failed["error_hint"], failed["error_hint"]
    assert failed["error_message"] in log
    assert failed["current_step"] == "Failed" and failed["completed_at"] and not failed["live"]
    assert str(user.platform.folder) not in f"{log}{failed['error_message']}", "a folder of the server is told"
    states = [stage["status"] for stage in failed["stages"]]
    assert states[:2] == ["completed", "failed"] and "in_progress" not in states, states


def test_a_wrong_token_is_refused_and_never_shown(platform: Platform, sources: Sources, user: User) -> None:
    token = "ghp_thisTokenIsWrong"
    project = user.project(sources.url("private"), access="token", token=token)
    failed = user.ended(user.deploy(project))
    assert failed["error_cause"] == "access_denied" and "refused" in failed["error_message"]
    assert token not in user.log(failed) and token not in str(failed)
    good = f"http://{USER}@{sources.server.url.removeprefix('http://')}/private/good.git"
    user.call("DELETE", f"/projects/{project['id']}?force=true")
    right = user.project(good, access="token", token=PASSWORD)
    done = user.ended(user.deploy(right))
    assert done["status"] == "success", user.log(done)
    assert PASSWORD not in user.log(done) and sources.server.expected not in user.log(done)


def test_names_with_spaces_and_unicode_are_built_and_served(
    platform: Platform, user: User, repository: Callable[..., Repository]
) -> None:
    names = {
        "über uns/größe & preis.html": "wir",
        "日本語 ページ.html": "こんにちは",
        "100%.txt": "all of it",
        "-f": "odd",
    }
    code = repository("a name with spaces ü", {**names, "index.html": "start"})
    project = user.project(code)
    done = user.ended(user.deploy(project))
    assert done["status"] == "success", user.log(done)
    host = f"{project['slug']}.localhost"
    for name, content in names.items():
        answer = platform.visit(host, f"/{quote(name)}")
        assert answer.content.decode() == content, name
    code.commit({**python_app(body="repr(sorted(os.listdir('.'))).encode()"), "index.html": ""}, "Be an app")
    app = user.ended(user.deploy(project))
    assert app["status"] == "success", user.log(app)
    seen = platform.visit(host).content.decode()
    assert all(repr(name.split("/")[0]) in seen for name in names), seen


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that allows little: no paths of the server, small repositories, short clones."""
    limits = {"ALLOW_LOCAL_REPOSITORIES": "0", "MAX_REPOSITORY_SIZE": "1", "CLONE_TIMEOUT": "5"}
    running = Platform(tmp_path_factory.mktemp("strict"), limits).start()
    running.user("Administrator")
    yield running
    running.remove()


def test_limits_on_the_source_hold(strict: Platform, sources: Sources) -> None:
    user = strict.user()
    http = sources.server.url
    cases = {
        "large": (f"{http}/large.git", Bad("", "repository_too_large", "1 MB", "MAX_REPOSITORY_SIZE")),
        "endless": (f"{http}/hang/x.git", Bad("", "clone_timeout", "not fetched within 5 s", "CLONE_TIMEOUT")),
        "local": (sources.url("good"), Bad("", "invalid_repository", "Paths on this server are not allowed")),
    }
    begun = {name: user.deploy(user.project(url, name=f"strict-{name}")) for name, (url, _) in cases.items()}
    for name, (_, bad) in cases.items():
        failed = user.ended(begun[name], 40)
        _told(user, failed, bad)
        nothing_is_left(strict, failed)
    page = Browser(strict).deploy(sources.url("good"))
    assert page.status_code == 422 and "Paths on this server are not allowed" in page.beside("repository_url")


class Browser:
    """Somebody with cookies and forms, without scripts."""

    def __init__(self, platform: Platform) -> None:
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{platform.port}", timeout=60)
        somebody = platform.user("Wanda")
        entered = self.post("/login", email=somebody.email, password=somebody.password)
        assert entered.status_code == 303, entered.text

    def post(self, path: str, **fields: str) -> httpx.Response:
        """Open the form and send it, as a browser does."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.http.get(path).text)
        assert token, f"no form at {path}"
        return self.http.post(path, data={**fields, "csrf_token": token[1]})

    def deploy(self, address: str, **fields: str) -> Answer:
        """The first step of the wizard."""
        return Answer(self.post("/deploy", repository_url=address, **{"access": "public", **fields}))


@dataclass
class Answer:
    """The wizard's page."""

    response: httpx.Response

    @property
    def status_code(self) -> int:
        return self.response.status_code

    def beside(self, name: str) -> str:
        """What stands at a field that is marked as wrong."""
        text = self.response.text
        marked = re.search(rf'<input[^>]*name="{name}"[^>]*aria-invalid="true"[^>]*aria-describedby="([^"]+)"', text)
        assert marked, f"{name} is not marked as wrong"
        note = re.search(rf'id="{marked[1]}".*?</(?:p|span)>\s*</', text, re.DOTALL)
        assert note, f"nothing stands at {name}"
        return re.sub(r"<[^>]+>", "", note[0])


def test_the_wizard_says_it_at_the_field(platform: Platform, sources: Sources) -> None:
    browser = Browser(platform)
    for name in ("unknown-host", "closed-port", "not-git", "missing", "private", "plain-folder"):
        bad = next(bad for bad in BAD.values() if bad.source == name)
        page = browser.deploy(sources.url(name))
        assert page.status_code == 422, name
        said = page.beside("repository_url")
        assert bad.says in said and bad.hint in said, said
        assert f'value="{sources.url(name)}"' in page.response.text, "what was typed is gone"
    assert "no commit yet" in browser.deploy(sources.url("empty")).beside("repository_url")
    assert "Use an address such as https" in browser.deploy("--upload-pack=/bin/sh").beside("repository_url")
    assert "https or ssh" in browser.deploy("ftp://example.com/x.git").beside("repository_url")
    assert browser.deploy("").status_code == 422
    missing = browser.deploy(sources.url("private"), access="token")
    assert missing.status_code == 422 and "may read the repository" in missing.beside("token")


def test_the_wizard_goes_on_where_a_person_can_mend_it(platform: Platform, sources: Sources) -> None:
    browser = Browser(platform)
    for name in ("notes", "monorepo", "parent", "linked"):
        bad = next(bad for bad in BAD.values() if bad.source == name)
        step = browser.deploy(sources.url(name))
        assert step.status_code == 303 and step.response.headers["location"].endswith("/deploy/configure"), name
        page = browser.http.get("/deploy/configure")
        assert page.status_code == 200 and bad.says in page.text, name
    assert not list((platform.folder / "drafts").glob("*")), "the wizard left a checkout behind"
