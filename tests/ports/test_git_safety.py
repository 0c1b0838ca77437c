"""Git over real servers: links, sizes, times, hooks, keys - what a repository or a server must not get away with."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from devflow.adapters.git.client import GitClient
from devflow.core.errors import Cancelled, DomainError, Invalid, StepFailed
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


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "sub/../../x"])
def test_a_link_out_of_the_repository(desk: Desk, repo: NewRepo, server: GitServer, target: str) -> None:
    shop = repo("shop")
    (shop.work / "sub").mkdir()
    (shop.work / "sub/way out").symlink_to(f"../{target}" if target.startswith("sub") else target)
    shop.commit({"sub/a": "1"})
    failed = desk.fails("unsafe_symlink", f"{server.url}/shop.git")
    assert "sub/way out" in failed.message


def test_a_link_within_the_repository_stays(desk: Desk, repo: NewRepo, server: GitServer) -> None:
    shop = repo("shop")
    (shop.work / "sub").mkdir()
    (shop.work / "sub/link").symlink_to("../a")
    shop.commit({"a": "1"})
    desk.checkout(f"{server.url}/shop.git")
    assert (desk.place / "sub/link").is_symlink()
    assert (desk.place / "sub/link").read_text() == "1"


def test_a_repository_over_the_limit(desk: Desk, repo: NewRepo, server: GitServer) -> None:
    repo("big").commit({"random": os.urandom(20_000_000)})
    limits = CheckoutLimits(size=5_000_000, seconds=60)
    assert "5 MB" in desk.fails("repository_too_large", f"{server.url}/big.git", limits=limits).message


def test_a_repository_that_unpacks_over_the_limit(desk: Desk, repo: NewRepo, server: GitServer) -> None:
    repo("bomb").commit({f"zeros{number}": bytes(10_000_000) for number in range(5)})
    desk.fails("repository_too_large", f"{server.url}/bomb.git", limits=CheckoutLimits(size=30_000_000, seconds=60))


def test_a_clone_that_takes_too_long(desk: Desk, server: GitServer) -> None:
    began = time.monotonic()
    desk.fails("clone_timeout", f"{server.url}/hang/x.git", limits=CheckoutLimits(size=1_000_000, seconds=0.5))
    assert time.monotonic() - began < 3


def test_cancel_ends_git_within_a_second(desk: Desk, server: GitServer) -> None:
    outcome: list[BaseException] = []
    ended = threading.Event()

    def run() -> None:
        try:
            desk.checkout(f"{server.url}/hang/x.git")
        except DomainError as error:
            outcome.append(error)
        ended.set()

    threading.Thread(target=run).start()
    assert server.hanging.wait(10)
    assert [line for line in _processes() if str(server.server_port) in line]
    desk.stop.set()
    assert ended.wait(1)
    assert isinstance(outcome[0], Cancelled)
    assert not desk.place.exists()
    assert not [line for line in _processes() if str(server.server_port) in line]


def test_hooks_and_filters_of_a_repository_do_not_run(desk: Desk, repo: NewRepo, root: Path) -> None:
    shop = repo("shop")
    script = f"#!/bin/sh\ntouch {root}/hacked\n"
    names = ("post-checkout", "reference-transaction", "post-index-change")
    shop.commit({f"hooks/{name}": script for name in names} | {".gitattributes": "* filter=evil\n", "a": "1"})
    for name in names:
        (shop.bare / "hooks").mkdir(exist_ok=True)
        (shop.bare / "hooks" / name).write_text(script)
        (shop.bare / "hooks" / name).chmod(0o755)
    git(shop.bare, "config", "core.hooksPath", "hooks")
    desk.checkout(str(shop.bare), local=True)
    assert (desk.place / "a").read_text() == "1"
    assert not (root / "hacked").exists()


def test_local_paths_only_where_allowed(desk: Desk, repo: NewRepo) -> None:
    shop = repo("sh öp")
    sha = shop.commit({"a": "1"})
    assert desk.checkout(str(shop.bare), local=True).sha == sha
    with pytest.raises(Invalid, match="not allowed"):
        desk.checkout(str(shop.bare))
    desk.fails("clone_failed", str(shop.bare.with_name("nothing.git")), local=True)


def test_a_deploy_key_opens(desk: Desk, repo: NewRepo, sshd: Sshd) -> None:
    shop = repo("shop")
    sha = shop.commit({"a": "1"})
    url = f"ssh://{sshd.user}@127.0.0.1:{sshd.port}{shop.bare}"
    windows_paste = sshd.key("deploy").replace("\n", "\r\n").strip()
    assert desk.checkout(url, credentials=Credentials(ssh_key=windows_paste)).sha == sha
    assert dict(desk.client.probe(Repository(url, Credentials(ssh_key=sshd.key("deploy")))).branches) == {"main": sha}


@pytest.mark.parametrize(
    ("key", "words"),
    [("stranger", "refused the deploy key"), (None, "did not let DevFlow read"), ("junk", "cannot be read")],
)
def test_a_deploy_key_that_does_not_open(desk: Desk, repo: NewRepo, sshd: Sshd, key: str | None, words: str) -> None:
    shop = repo("shop")
    shop.commit({"a": "1"})
    text = (
        "-----BEGIN OPENSSH PRIVATE KEY-----\njunk\n-----END OPENSSH PRIVATE KEY-----"
        if key == "junk"
        else key and sshd.key(key)
    )
    url = f"ssh://{sshd.user}@127.0.0.1:{sshd.port}{shop.bare}"
    failed = desk.fails("access_denied", url, credentials=Credentials(ssh_key=text))
    assert words in failed.message


def test_a_server_that_changed_its_key_is_not_trusted(desk: Desk, repo: NewRepo, sshd: Sshd) -> None:
    shop = repo("shop")
    shop.commit({"a": "1"})
    url, credentials = f"ssh://{sshd.user}@127.0.0.1:{sshd.port}{shop.bare}", Credentials(ssh_key=sshd.key("deploy"))
    desk.checkout(url, credentials=credentials)
    sshd.stop()
    sshd.new_key("host")
    sshd.start()
    assert "not trusted" in desk.fails("access_denied", url, credentials=credentials).message


def _processes() -> list[str]:
    """The command lines of everything called git that runs now."""
    lines = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            lines.append((place / "cmdline").read_bytes().decode(errors="replace"))
        except OSError:  # it ended meanwhile
            continue
    return [line for line in lines if "git" in line]
