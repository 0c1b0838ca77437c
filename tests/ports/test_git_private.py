"""Nobody reaches the server's own network by naming a repository there."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devflow.adapters.git import failures, guard
from devflow.adapters.git.address import parse
from devflow.adapters.git.client import GitClient, _following
from devflow.adapters.git.guard import Guard, NoSuchHost, Pin, is_public, look_up
from devflow.adapters.git.run import TimedOut
from devflow.core.errors import Cancelled, Invalid, StepFailed
from devflow.ports.git import CheckoutLimits, Commit, Credentials, Repository
from tests.ports.git_fixtures import (  # noqa: F401
    GitServer,
    Repo,
    Sshd,
    git,
    repo_fixture,
    root_fixture,
    server_fixture,
    sshd_fixture,
)

NewRepo = Callable[[str], Repo]
ENOUGH = CheckoutLimits(size=100_000_000, seconds=60)
NAME = "git.example"
"""Known to this test's name server alone: git gets there by what it was told, or not at all."""


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
    ],
)
def test_addresses_inside(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "140.82.121.3", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"]
)
def test_addresses_of_the_internet(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "0",
        "localhost",
        "LOCALHOST",
        "[0:0:0:0:0:0:0:1]",
        "[0:0:0:0:0:ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "169.254.169.254",
        "0xa9fea9fe",
        "10.1",
    ],
)
@pytest.mark.parametrize("url", ["http://{}/x.git", "https://me:pw@{}:8443/x.git", "ssh://git@{}/x", "git@{}:x.git"])
def test_every_spelling_is_refused(tmp_path: Path, host: str, url: str) -> None:
    client, repository = GitClient(tmp_path / "git"), Repository(url.format(host))
    with pytest.raises(Invalid, match=r"An administrator can allow it with ALLOW_PRIVATE_ADDRESSES=1\.") as refused:
        client.probe(repository)
    assert refused.value.error_code == "INVALID_REPOSITORY"
    assert refused.value.fields["url"]
    with pytest.raises(Invalid, match="private address"):
        client.checkout(repository, "main", None, tmp_path / "place", ENOUGH, lambda _: None, lambda: False)
    assert not (tmp_path / "place").exists()


def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: _entries("8.8.8.8", "10.0.0.1"))
    with pytest.raises(Invalid, match=r"git\.example leads to a private address"):
        Guard(False).pin(parse(Repository(f"https://{NAME}/x")), time.monotonic() + 5, lambda: False)


def test_a_name_is_held_to_all_that_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: _entries("8.8.8.8", "2606:4700::1111", "8.8.8.8"))
    found = Guard(False).pin(parse(Repository(f"https://{NAME}/x")), time.monotonic() + 5, lambda: False)
    assert found == Pin(NAME, 443, ("8.8.8.8", "2606:4700::1111"))


def test_only_a_proxy_may_know_a_name_that_is_not_known_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def pin(url: str, proxy: str = "") -> Pin | None:
        return Guard(False, proxy).pin(parse(Repository(url)), time.monotonic() + 5, lambda: False)

    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", _unknown)
    with pytest.raises(NoSuchHost):
        pin(f"https://{NAME}/x")
    assert pin(f"https://{NAME}/x", "http://proxy:3128") == Pin(NAME, 443, ("192.0.2.1",))
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    assert pin(f"https://{NAME}/x") == Pin(NAME, 443, ("192.0.2.1",))
    monkeypatch.setenv("no_proxy", NAME)
    for url in (f"https://{NAME}/x", f"http://{NAME}/x", f"git@{NAME}:x"):
        with pytest.raises(NoSuchHost):
            pin(url)


def test_a_silent_name_server_holds_up_neither_limit_nor_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer.wait(30) and [])
    with pytest.raises(TimedOut):
        look_up(NAME, 443, time.monotonic() + 0.2, lambda: False)
    with pytest.raises(Cancelled):
        look_up(NAME, 443, time.monotonic() + 30, lambda: True)
    answer.set()


@pytest.mark.parametrize("url", ["http://no-such-host.invalid/x", f"https://{'a' * 70}.com/x"])
def test_a_host_that_is_not_there(tmp_path: Path, url: str) -> None:
    client = GitClient(tmp_path / "git")
    with pytest.raises(Invalid, match="is not known"):
        client.probe(Repository(url))
    with pytest.raises(StepFailed, match="is not known") as failed:
        client.checkout(Repository(url), "main", None, tmp_path / "x", ENOUGH, lambda _: None, lambda: False)
    assert failed.value.cause == "clone_failed"


def test_a_server_on_this_machine_is_not_even_called(tmp_path: Path, repo: NewRepo, server: GitServer) -> None:
    repo("shop").commit({"a": "1"})
    repository = Repository(f"{server.url}/shop.git")
    with pytest.raises(Invalid, match="private address"):
        GitClient(tmp_path / "git").probe(repository)
    assert server.connections == 0
    assert GitClient(tmp_path / "git", allow_private=True).probe(repository).default_branch == "main"
    assert server.connections > 0


class World:
    """Here 127.0.0.1 counts as the internet, 127.0.0.2 as the inside, and NAME has an address."""

    def __init__(self, folder: Path) -> None:
        self.client, self.place = GitClient(folder / "git"), folder / "place"

    def checkout(self, url: str, credentials: Credentials | None = None, local: bool = False) -> Commit:
        repository = Repository(url, credentials or Credentials(), local)
        return self.client.checkout(repository, "main", None, self.place, ENOUGH, lambda _: None, lambda: False)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    real = socket.getaddrinfo

    def known(host: Any, *rest: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host in (NAME, f"{NAME}.") else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", known)
    monkeypatch.setattr(guard, "is_public", lambda text: text == "127.0.0.1")
    return World(tmp_path)


@pytest.fixture
def inside(root: Path) -> Iterator[GitServer]:
    running = GitServer(root, "127.0.0.2")
    yield running
    running.stop()


@pytest.mark.parametrize("host", [NAME, f"{NAME}.", NAME.upper()])
def test_git_goes_where_the_name_was_found(world: World, repo: NewRepo, server: GitServer, host: str) -> None:
    sha = repo("shop").commit({"a": "1"})
    assert world.checkout(f"http://{host}:{server.server_port}/shop.git").sha == sha


def test_ssh_goes_where_the_name_was_found_and_files_the_key_by_name(world: World, repo: NewRepo, sshd: Sshd) -> None:
    shop = repo("shop")
    sha = shop.commit({"a": "1"})
    url = f"ssh://{sshd.user}@{NAME}:{sshd.port}{shop.bare}"
    assert world.checkout(url, Credentials(ssh_key=sshd.key("deploy"))).sha == sha
    assert (world.client.folder / "known_hosts").read_text().startswith(f"[{NAME}]:{sshd.port} ")


def test_a_redirect_to_the_inside_is_refused(world: World, repo: NewRepo, server: GitServer, inside: GitServer) -> None:
    repo("shop").commit({"a": "1"})
    server.moved_to = inside.url
    repository = Repository(f"{server.url}/moved/shop.git")
    words = "127.0.0.2 leads to a private address"
    with pytest.raises(Invalid, match=words):
        world.client.probe(repository)
    with pytest.raises(Invalid, match=words):
        world.checkout(repository.url)
    assert inside.connections == 0
    allowed = GitClient(world.client.folder, allow_private=True)
    assert allowed.probe(repository).default_branch == "main"
    assert inside.connections > 0


def test_a_redirect_on_the_outside_is_followed(world: World, repo: NewRepo, server: GitServer) -> None:
    sha = repo("shop").commit({"a": "1"})
    server.moved_to = server.url
    repository = Repository(f"{server.url}/moved/shop.git")
    assert world.client.probe(repository).default_branch == "main"
    assert world.checkout(repository.url).sha == sha


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("{inside}/part.git", "127.0.0.2 leads to a private address"),
        ("ssh://git@127.0.0.2/part.git", "127.0.0.2 leads to a private address"),
        ("http://no-such-host.invalid/part.git", "no-such-host.invalid is not known"),
        ("{server}/moved/part.git", "leads on to {inside}/part.git"),
        ("http://127.0.0.2:{port}\\\\@127.0.0.1/part.git", "names no host plainly"),
    ],
)
@pytest.mark.parametrize("deep", [False, True])
def test_a_submodule_inside_is_refused(
    world: World, repo: NewRepo, server: GitServer, inside: GitServer, url: str, words: str, deep: bool
) -> None:
    """Also when it is a submodule's submodule."""
    server.moved_to = inside.url
    repo("part").commit({"p": "1"})
    filled = {"inside": inside.url, "server": server.url, "port": inside.server_port}
    _with_submodule(repo, "whole", "part", url.format(**filled))
    if deep:
        _with_submodule(repo, "top", "whole", f"{server.url}/whole.git")
    with pytest.raises(StepFailed) as failed:
        world.checkout(f"{server.url}/{'top' if deep else 'whole'}.git")
    assert failed.value.cause == "submodule_failed"
    assert "The submodule" in failed.value.message
    assert words.format(**filled) in failed.value.message
    assert inside.connections == 0
    assert not world.place.exists()


def test_submodules_elsewhere_come_from_where_they_were_found(world: World, repo: NewRepo, server: GitServer) -> None:
    repo("part").commit({"p": "1"})
    _with_submodule(repo, "whole", "part", f"http://{NAME}:{server.server_port}/old/part.git")
    _with_submodule(repo, "top", "whole", "../whole.git")
    world.checkout(f"{server.url}/top.git")
    assert (world.place / "whole/part/p").read_text() == "1"


def test_submodules_that_share_a_path_are_refused(world: World, repo: NewRepo, server: GitServer) -> None:
    """Git and the guard could each mean another one of them."""
    repo("part").commit({"p": "1"})
    whole = _with_submodule(repo, "whole", "part", f"{server.url}/part.git")
    text = (whole.work / ".gitmodules").read_text()
    whole.commit({".gitmodules": text + text.replace('"part"', '"other"')})
    with pytest.raises(StepFailed, match="share a name or a path"):
        world.checkout(f"{server.url}/whole.git")


def test_a_path_on_this_server_keeps_its_own_rule(world: World, repo: NewRepo, inside: GitServer) -> None:
    part = repo("part")
    part.commit({"p": "1"})
    whole = _with_submodule(repo, "whole", "part", str(part.bare))
    world.checkout(str(whole.bare), local=True)
    assert (world.place / "part/p").read_text() == "1"
    bad = _with_submodule(repo, "bad", "part", f"{inside.url}/part.git")
    with pytest.raises(StepFailed, match="private address"):
        world.checkout(str(bad.bare), local=True)
    assert inside.connections == 0


def _with_submodule(repo: NewRepo, name: str, part: str, url: str) -> Repo:
    whole = repo(name)
    bare = whole.bare.with_name(f"{part}.git")
    git(whole.work, "submodule", "--quiet", "add", str(bare), part)
    (whole.work / ".gitmodules").write_text(f'[submodule "{part}"]\n\tpath = {part}\n\turl = "{url}"\n')
    whole.commit({"w": "1"})
    return whole


def _entries(*addresses: str) -> list[Any]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]


def _unknown(*_: Any, **__: Any) -> Any:
    raise socket.gaierror("Name or service not known")


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("https://git.example/team/new.git", True),
        ("https://other.example/team/shop.git", False),
        ("https://git.example:444/team/shop.git", False),
    ],
)
def test_a_credential_does_not_follow_a_redirect_to_another_server(target: str, kept: bool) -> None:
    asked: list[Repository] = []

    def attempt(repository: Repository) -> str:
        asked.append(repository)
        if len(asked) == 1:
            raise failures.to_step(failures.Failure("clone_failed", "moved", "", target))
        return "found"

    secret = Credentials(token="secret")
    assert _following(Repository("https://git.example/team/shop.git", secret), attempt) == "found"
    assert asked[1].url == target and (asked[1].credentials == secret) == kept


def test_a_redirect_never_leads_from_https_to_http() -> None:
    def attempt(_repository: Repository) -> None:
        raise failures.to_step(failures.Failure("clone_failed", "moved", "", "http://git.example/shop.git"))

    with pytest.raises(StepFailed, match="moved"):
        _following(Repository("https://git.example/shop.git"), attempt)
