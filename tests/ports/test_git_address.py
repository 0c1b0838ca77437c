"""Which addresses git is given, without running it."""

from __future__ import annotations

import pytest

from devflow.adapters.git.address import parse
from devflow.adapters.git.render import masked, remote
from devflow.core.errors import Invalid
from devflow.ports.git import Credentials, Repository


@pytest.mark.parametrize(
    "url",
    [
        "",
        "   ",
        "--upload-pack=touch /tmp/x",
        "-oProxyCommand=touch",
        "ext::sh -c touch% /tmp/x",
        "fd::17",
        "git://host/x.git",
        "ftp://host/x.git",
        "https://",
        "https:///x.git",
        "https://host",
        "https://ho st/x.git",
        "https://-host/x.git",
        "https://host:port/x.git",
        "https://host/x.git\n--upload-pack=x",
        "https://host/x.git\0",
        "http://[::1/x.git",
        "https://host:0/x.git",
        "https://host:65536/x.git",
        "ssh://[dead:22]/x.git",
        "git@[dead:22]:x.git",
        "git@[127.0.0.1:22]:x.git",
        "ssh://-oProxyCommand=touch/x.git",
        "ssh://host/-x",
        "ssh://-user@host/x.git",
        "git@-host:x.git",
        "-git@host:x.git",
        "git@host:-x.git",
        "git@host:/-x.git",
        "host::x",
        "https://host/" + "x" * 3000,
        "/srv/git/x.git",
        "file:///srv/git/x.git",
        "../x.git",
        "~/x.git",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(Repository(url))
    assert refused.value.error_code == "INVALID_REPOSITORY"
    assert refused.value.fields["url"]


@pytest.mark.parametrize(
    ("url", "clean", "kind", "origin"),
    [
        ("https://github.com/a/b.git", "https://github.com/a/b.git", "http", "https://github.com"),
        (" HTTPS://host:8443/b ", "https://host:8443/b", "http", "https://host:8443"),
        ("http://[::1]:80/b", "http://[::1]:80/b", "http", "http://[::1]:80"),
        ("git@github.com:a/b.git", "git@github.com:a/b.git", "ssh", "ssh://github.com"),
        ("ssh://git@host:2222/a/b", "ssh://git@host:2222/a/b", "ssh", "ssh://host:2222"),
        ("ssh://git:pw@host/a", "ssh://git@host/a", "ssh", "ssh://host"),
    ],
)
def test_addresses_that_are_taken(url: str, clean: str, kind: str, origin: str) -> None:
    address = parse(Repository(url))
    assert (address.url, address.kind, address.origin) == (clean, kind, origin)


@pytest.mark.parametrize("url", ["/srv/git/a b.git", "file:///srv/git/a%20b.git"])
def test_local_paths_where_they_are_allowed(url: str) -> None:
    assert parse(Repository(url, allow_local=True)).url == "/srv/git/a b.git"
    with pytest.raises(Invalid, match="absolute"):
        parse(Repository("../x", allow_local=True))


@pytest.mark.parametrize(
    ("url", "given", "username", "token"),
    [
        ("https://ada:p%40ss@host/x", Credentials(), "ada", "p@ss"),
        ("https://ghp_abc@host/x", Credentials(), "x-access-token", "ghp_abc"),
        ("https://ada@host/x", Credentials(token="t"), "ada", "t"),
        ("https://ada:old@host/x", Credentials(token="new"), "ada", "new"),
        ("https://host/x", Credentials(token="t"), "x-access-token", "t"),
    ],
)
def test_secrets_leave_the_address(url: str, given: Credentials, username: str, token: str) -> None:
    address = parse(Repository(url, given))
    assert address.url == "https://host/x"
    assert (address.credentials.username, address.credentials.token) == (username, token)


def test_masking_takes_tokens_in_every_form() -> None:
    address = parse(Repository("https://host/x", Credentials(token="a/b+c")))
    text = masked("fatal: a/b+c and a%2Fb%2Bc at https://me:pw@other/x", address)
    assert text == "fatal: *** and *** at https://other/x"


def test_remote_without_a_known_default() -> None:
    text = "ref: refs/heads/gone\tHEAD\n" + "a" * 40 + "\trefs/heads/feature/x\n"
    assert remote(text).default_branch is None
    assert remote(text).branches == (("feature/x", "a" * 40),)
