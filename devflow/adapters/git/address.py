"""Which addresses git may be given, and what they look like without their secrets. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import IPv6Address
from typing import Literal
from urllib.parse import unquote, urlsplit, urlunsplit

from devflow.core.errors import Invalid
from devflow.ports.git import Credentials, Repository

_HOST = r"(?:[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])"
_USER = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_SCP = re.compile(rf"(?:({_USER})@)?({_HOST}):(?!/?-)([^:\s][^\s]*)")
_NETLOC = re.compile(rf"{_HOST}(?::[0-9]{{1,5}})?")
_LONGEST = 2048
_SWITCH = "An administrator can allow folders of this server on the page Admin (or with ALLOW_LOCAL_REPOSITORIES=true)."
_TWO_WAYS = "Use an address such as https://host/team/repository.git or git@host:team/repository.git."


@dataclass(frozen=True)
class Address:
    """A checked address. `url` holds no secret; `origin` is `scheme://host[:port]`, empty for a local path."""

    url: str
    kind: Literal["http", "ssh", "local"]
    origin: str
    credentials: Credentials

    @property
    def host(self) -> str:
        """A name or number, without brackets; empty for a local path."""
        return urlsplit(self.origin).hostname or ""

    @property
    def port(self) -> int:
        parts = urlsplit(self.origin)
        return parts.port or {"http": 80, "https": 443, "ssh": 22}[parts.scheme]


def parse(repository: Repository) -> Address:
    """Raises `Invalid` (INVALID_REPOSITORY) on anything that is not plainly https, http, ssh or an allowed path."""
    url = repository.url.strip()
    if not url:
        raise invalid("No repository address was given.", _TWO_WAYS)
    if len(url) > _LONGEST or url.startswith("-") or any(ord(sign) < 32 or ord(sign) == 127 for sign in url):
        raise invalid("This is not the address of a repository.", _TWO_WAYS)
    if url.startswith(("/", "./", "../", "~", "file:")):
        return _local(url, repository)
    if re.match(r"https?://", url, re.IGNORECASE):
        return _http(url, repository.credentials)
    if url.lower().startswith("ssh://"):
        return _ssh(url, repository.credentials)
    if "://" not in url and "::" not in url and (match := _SCP.fullmatch(url)):
        _check_place(match[2])
        return Address(url, "ssh", f"ssh://{match[2]}", repository.credentials)
    raise invalid("Repositories are reached over https or ssh only.", _TWO_WAYS)


def invalid(message: str, hint: str = "") -> Invalid:
    """The error a person sees beside the address field."""
    text = f"{message} {hint}".strip()
    return Invalid(text, {"url": [text]}, code="INVALID_REPOSITORY")


def _local(url: str, repository: Repository) -> Address:
    path = unquote(url.removeprefix("file://")) if url.startswith("file://") else url
    if not repository.allow_local:
        raise invalid("Paths on this server are not allowed as repositories.", f"{_TWO_WAYS} {_SWITCH}")
    if not path.startswith("/"):
        raise invalid("A repository on this server needs an absolute path, such as /srv/git/shop.git.")
    return Address(path, "local", "", Credentials())


def _http(url: str, given: Credentials) -> Address:
    """A name and password inside the address become credentials; those given beside it win."""
    scheme, netloc, path, query, _ = _split(url)
    user, _, place = netloc.rpartition("@")
    name, _, password = (unquote(part) for part in user.partition(":"))
    credentials = given
    if user and not given.token:
        credentials = Credentials(token=password or name, username=name if password else given.username)
    elif name:
        credentials = replace(given, username=name)
    if any(ord(sign) < 32 for sign in f"{credentials.username}{credentials.token or ''}"):
        raise invalid("The access token or its user name holds a line break.", "Paste it again.")
    origin = f"{scheme}://{place}"
    return Address(urlunsplit((scheme, place, path, query, "")), "http", origin, replace(credentials, ssh_key=None))


def _ssh(url: str, given: Credentials) -> Address:
    _, netloc, path, _, _ = _split(url)
    user, _, place = netloc.rpartition("@")
    name = user.partition(":")[0]
    if (name and not re.fullmatch(_USER, name)) or path.startswith("/-"):
        raise invalid("This is not the address of a repository.", _TWO_WAYS)
    return Address(f"ssh://{name}{'@' if name else ''}{place}{path}", "ssh", f"ssh://{place}", given)


def _split(url: str) -> tuple[str, str, str, str, str]:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise invalid("This is not the address of a repository.", _TWO_WAYS) from error
    place = parts.netloc.rpartition("@")[2]
    if not _NETLOC.fullmatch(place) or len(parts.path.strip("/")) == 0:
        raise invalid("The address names no host or no repository.", _TWO_WAYS)
    _check_place(place)
    return parts.scheme.lower(), parts.netloc, parts.path, parts.query, parts.fragment


def _check_place(place: str) -> None:
    """A port is one, and brackets hold a number: git reads `[host:port]` in them where others do not."""
    number = re.match(r"\[(.*)\]", place)
    try:
        if number:
            IPv6Address(number[1])
    except ValueError as error:
        raise invalid("The address names no host or no repository.", _TWO_WAYS) from error
    port = re.search(r":([0-9]+)$", place)
    if port and not 0 < int(port[1]) < 65536:
        raise invalid("The port of the address is not between 1 and 65535.", "Check the address for a typing error.")
