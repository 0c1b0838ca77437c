"""Real git against real repositories: what is fetched, what is refused, and that no secret shows."""

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from devflow.adapters.git.client import GitClient
from devflow.core.errors import Invalid, StepFailed, Unavailable
from devflow.ports.git import CheckoutLimits, Commit, Credentials, Repository
from tests.ports.git_fixtures import (  # noqa: F401
    PASSWORD,
    USER,
    GitServer,
    Repo,
    Sshd,
    git,
    other_server_fixture,
    repo_fixture,
    root_fixture,
    server_fixture,
    sshd_fixture,
)

NewRepo = Callable[[str], Repo]
ENOUGH = CheckoutLimits(size=100_000_000, seconds=60)
TOKEN = Credentials(token=PASSWORD, username=USER)


class Desk:
    """A git client with a place to check out to; keeps the lines it was told."""

    def __init__(self, folder: Path) -> None:
        self.client = GitClient(folder / "git", allow_private=True)
        self.place = folder / "checkout"
        self.lines: list[str] = []
        self.stop = threading.Event()

    def checkout(
        self,
        url: str,
        ref: str = "main",
        commit: str | None = None,
        credentials: Credentials | None = None,
        limits: CheckoutLimits = ENOUGH,
        local: bool = False,
    ) -> Commit:
        repository = Repository(url, credentials or Credentials(), local)
        return self.client.checkout(repository, ref, commit, self.place, limits, self.lines.append, self.stop.is_set)

    def fails(self, cause: str, url: str, *rest: object, **more: object) -> StepFailed:
        with pytest.raises(StepFailed) as failed:
            self.checkout(url, *rest, **more)  # type: ignore[arg-type]
        assert failed.value.cause == cause
        assert not self.place.exists()
        return failed.value


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_probe_lists_branches(desk: Desk, repo: NewRepo, server: GitServer) -> None:
    shop = repo("shop")
    first = shop.commit({"a": "1"})
    second = shop.commit({"a": "2"}, branch="feature/ünï")
    found = desk.client.probe(Repository(f"{server.url}/shop.git"))
    assert found.default_branch == "main"
    assert dict(found.branches) == {"main": first, "feature/ünï": second}


def test_probe_of_an_empty_repository(desk: Desk, repo: NewRepo, server: GitServer) -> None:
    repo("empty")
    found = desk.client.probe(Repository(f"{server.url}/empty.git"))
    assert (found.default_branch, found.branches) == (None, ())


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("{server}/nothing.git", "no repository at"),
        ("{server}/private/shop.git", "add a deploy key or an access token"),
        ("http://no-such-host.invalid/x.git", "no-such-host.invalid is not known"),
        ("http://127.0.0.1:1/x.git", "does not accept connections"),
        ("https://127.0.0.1:{port}/x.git", "does not speak TLS"),
        ("{root}/shop.git", "not allowed"),
    ],
)
def test_probe_names_what_is_wrong(
    desk: Desk, repo: NewRepo, server: GitServer, root: Path, path: str, words: str
) -> None:
    repo("shop").commit({"a": "1"})
    with pytest.raises(Invalid, match=words) as refused:
        desk.client.probe(Repository(path.format(server=server.url, root=root, port=server.server_port)))
    assert refused.value.error_code == "INVALID_REPOSITORY"


def test_probe_gives_up_in_time(desk: Desk, server: GitServer) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"within 0\.5 s"):
        desk.client.probe(Repository(f"{server.url}/hang/x.git"), timeout=0.5)
    assert time.monotonic() - began < 3


def test_checkout_gives_the_files_alone(desk: Desk, repo: NewRepo, server: GitServer) -> None:
    shop = repo("shop")
    shop.commit({"old": "1"})
    sha = shop.commit(
        {"a.txt": "1", "bin/run": "x", "ä ö/ß €.txt": "ü", "-dash": "d", "line\nbreak": "n"}, "Löwen füttern\n\nmore"
    )
    found = desk.checkout(f"{server.url}/shop.git")
    assert (found.sha, found.message, found.author) == (sha, "Löwen füttern", "Ada Löve")
    assert found.committed_at is not None
    assert abs(found.committed_at.timestamp() - time.time()) < 3600
    assert (desk.place / "ä ö/ß €.txt").read_text() == "ü"
    assert {path.name for path in desk.place.iterdir()} == {"old", "a.txt", "bin", "ä ö", "-dash", "line\nbreak"}
    assert desk.lines[0] == f"Cloning {server.url}/shop.git, main"
    assert not [line for line in desk.lines if "\r" in line]
    assert len([line for line in desk.lines if "Counting objects" in line]) <= 1  # git itself says it dozens of times
    assert desk.lines[-1] == f"Checked out {sha[:12]}: Löwen füttern"


def test_branches_tags_and_the_default(desk: Desk, repo: NewRepo, server: GitServer) -> None:
    shop = repo("shop")
    tagged = shop.commit({"a": "1"})
    git(shop.work, "tag", "-a", "v1", "-m", "one")
    git(shop.work, "tag", "both")
    git(shop.work, "push", "-q", "origin", "--tags")
    branch = shop.commit({"a": "2"}, branch="both")
    newest = shop.commit({"a": "3"}, branch="main")
    url = f"{server.url}/shop.git"
    for ref, expected in {
        "v1": tagged,
        "both": branch,
        "main": newest,
        "": newest,
        "refs/heads/both": branch,
        tagged: tagged,
    }.items():
        assert desk.checkout(url, ref).sha == expected, ref
        for path in desk.place.iterdir():
            path.unlink()


@pytest.mark.parametrize("door", ["", "/old"])
@pytest.mark.parametrize("age", [1, 60])
def test_an_old_commit_exactly(desk: Desk, repo: NewRepo, server: GitServer, door: str, age: int) -> None:
    shop = repo("shop")
    wanted = shop.commit({"a": "old"}, "Wanted")
    for turn in range(age):
        git(shop.work, "commit", "-q", "--allow-empty", "-m", f"{turn}")
    shop.commit({"a": "new"})
    assert desk.checkout(f"{server.url}{door}/shop.git", "main", wanted).sha == wanted
    assert (desk.place / "a").read_text() == "old"


@pytest.mark.parametrize("door", ["", "/old"])
def test_a_commit_of_another_branch(desk: Desk, repo: NewRepo, server: GitServer, door: str) -> None:
    shop = repo("shop")
    shop.commit({"a": "1"})
    wanted = shop.commit({"a": "side"}, branch="side")
    shop.commit({"a": "side 2"}, branch="side")
    assert desk.checkout(f"{server.url}{door}/shop.git", "gone", wanted[:10]).sha == wanted


@pytest.mark.parametrize("door", ["", "/old"])
@pytest.mark.parametrize("commit", ["d" * 40, "--upload-pack=x", "deadbeef", "zz"])
def test_a_commit_that_is_not_there(desk: Desk, repo: NewRepo, server: GitServer, door: str, commit: str) -> None:
    repo("shop").commit({"a": "1"})
    desk.fails("commit_not_found", f"{server.url}{door}/shop.git", "main", commit)


@pytest.mark.parametrize("ref", ["mian", "--upload-pack=touch x", "a..b", "x y", "refs/heads/mian", "a:b"])
def test_an_unknown_branch_names_the_near_ones(desk: Desk, repo: NewRepo, server: GitServer, ref: str) -> None:
    shop = repo("shop")
    shop.commit({"a": "1"})
    shop.commit({"a": "1"}, branch="develop")
    failed = desk.fails("branch_not_found", f"{server.url}/shop.git", ref)
    assert "main" in failed.hint


def test_an_empty_repository(desk: Desk, repo: NewRepo, server: GitServer) -> None:
    repo("empty")
    desk.fails("repository_empty", f"{server.url}/empty.git")
    desk.fails("repository_empty", f"{server.url}/empty.git", "")


def test_a_password_opens_and_never_shows(desk: Desk, repo: NewRepo, server: GitServer, tmp_path: Path) -> None:
    repo("shop").commit({"big": os.urandom(3_000_000), "a": "1"})
    seen: list[str] = []
    done = threading.Event()
    watch = threading.Thread(target=_note_processes, args=(seen, done))
    watch.start()
    desk.checkout(f"{server.url}/private/shop.git", credentials=TOKEN)
    desk.checkout(f"http://{USER}:t0p-s3cret%2F%2Btok%3Den@127.0.0.1:{server.server_port}/private/shop.git")
    done.set()
    watch.join()
    assert any("git\0fetch" in line for line in seen)
    assert not [line for line in (*seen, *desk.lines) if "s3cret" in line]
    assert not any(
        b"s3cret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and ".git/" not in str(path)
    )


def _note_processes(seen: list[str], done: threading.Event) -> None:
    while not done.is_set():
        seen += _processes()


def _processes() -> list[str]:
    """The command lines of everything called git that runs now."""
    lines = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            lines.append((place / "cmdline").read_bytes().decode(errors="replace"))
        except OSError:  # it ended meanwhile
            continue
    return [line for line in lines if "git" in line]


@pytest.mark.parametrize(
    "credentials", [Credentials(), Credentials(token="wrong"), Credentials(token=PASSWORD, username="other")]
)
def test_a_wrong_password_is_told_without_repeating_it(
    desk: Desk, repo: NewRepo, server: GitServer, credentials: Credentials
) -> None:
    repo("shop").commit({"a": "1"})
    failed = desk.fails("access_denied", f"{server.url}/private/shop.git", credentials=credentials)
    assert "wrong" not in f"{failed.message} {failed.hint} {desk.lines}"
    assert PASSWORD not in f"{failed.message} {failed.hint} {desk.lines}"
    assert ("add a deploy key" in failed.hint) == (credentials.token is None)


def test_submodules_come_along(desk: Desk, repo: NewRepo, server: GitServer) -> None:
    part, whole = repo("part"), repo("whole")
    wanted = part.commit({"p.txt": "part"})
    part.commit({"p.txt": "newer"})
    git(
        whole.work, "submodule", "--quiet", "add", f"{server.url}/private/part.git".replace("/private", ""), "libs/part"
    )
    git(whole.work / "libs/part", "checkout", "-q", wanted)
    (whole.work / ".gitmodules").write_text('[submodule "libs/part"]\n\tpath = libs/part\n\turl = ../part.git\n')
    whole.commit({"w.txt": "whole"})
    for door in ("", "/old", "/private"):
        desk.checkout(f"{server.url}{door}/whole.git", credentials=TOKEN)
        assert (desk.place / "libs/part/p.txt").read_text() == "part"
        assert not list(desk.place.rglob(".git"))
        (desk.place / "libs/part/p.txt").unlink()
        (desk.place / "libs/part").rmdir()
        (desk.place / "libs").rmdir()
        for path in desk.place.iterdir():
            path.unlink()


@pytest.mark.parametrize(
    "url", ["{server}/gone.git", "ext::sh -c touch% {root}/hacked", "{root}/part.git", "--upload-pack=x"]
)
def test_a_submodule_that_cannot_or_may_not_be_fetched(
    desk: Desk, repo: NewRepo, server: GitServer, root: Path, url: str
) -> None:
    part, whole = repo("part"), repo("whole")
    part.commit({"p": "1"})
    git(whole.work, "submodule", "--quiet", "add", str(part.bare), "part")
    target = url.format(server=server.url, root=root)
    (whole.work / ".gitmodules").write_text(f'[submodule "part"]\n\tpath = part\n\turl = "{target}"\n')
    whole.commit({"w": "1"})
    desk.fails("submodule_failed", f"{server.url}/whole.git")
    assert not (root / "hacked").exists()


def test_a_submodule_elsewhere_is_not_given_the_token(
    desk: Desk, repo: NewRepo, server: GitServer, other_server: GitServer
) -> None:
    part, whole = repo("part"), repo("whole")
    part.commit({"p": "1"})
    git(whole.work, "submodule", "--quiet", "add", str(part.bare), "part")
    for thief in (
        f"{other_server.url}/elsewhere/x.git",
        f"http://{USER}@127.0.0.1:{other_server.server_port}/elsewhere/x.git",
    ):
        (whole.work / ".gitmodules").write_text(f'[submodule "part"]\n\tpath = part\n\turl = {thief}\n')
        whole.commit({"w": "1"})
        desk.fails("submodule_failed", f"{server.url}/private/whole.git", credentials=TOKEN)
    assert other_server.seen_elsewhere
    sent = [
        base64.b64decode(header.removeprefix("Basic ")).decode() for header in other_server.seen_elsewhere if header
    ]
    assert set(sent) <= {f"{USER}:"}  # the name that the submodule's own address holds, and nothing else
