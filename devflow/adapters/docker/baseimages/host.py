"""What this machine is configured with and builds need too: package mirrors, certificates, package indexes."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "ftp_proxy", "all_proxy")
_INDEXES = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "NPM_CONFIG_REGISTRY",
    "GOPROXY",
)
_PLAIN = ("GOSUMDB", "GONOSUMDB", "GONOSUMCHECK", "GOPRIVATE")


@dataclass(frozen=True)
class Mirrors:
    """Debian mirrors of the host; empty: mmdebstrap's own choice."""

    main: str = ""
    security: str = ""
    keyrings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Host:
    """`certificates`: PEM texts the host trusts beyond its distribution's; `indexes`: variables that name package
    indexes (never with credentials in them); `proxies`: build arguments."""

    mirrors: Mirrors = field(default_factory=Mirrors)
    certificates: tuple[str, ...] = ()
    indexes: Mapping[str, str] = field(default_factory=dict)
    proxies: Mapping[str, str] = field(default_factory=dict)


def read_host(environ: Mapping[str, str], root: Path = Path("/")) -> Host:
    """Read it all; what cannot be read counts as not configured."""
    return Host(_mirrors(root), _certificates(environ, root), _indexes(environ, root), _proxies(environ))


def _mirrors(root: Path) -> Mirrors:
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', _text(root / "etc/os-release"), re.MULTILINE))
    codename = release.get("VERSION_CODENAME", "")
    if release.get("ID") != "debian" or not codename:
        return Mirrors()
    main = security = ""
    keyrings: list[str] = []
    for uri, suites, keyring in _sources(root):
        if not _public(uri):
            continue
        if codename in suites and not main:
            main = uri
        elif f"{codename}-security" in suites and not security:
            security = uri
        else:
            continue
        keyrings += [keyring] if keyring and "debian-archive" not in keyring else []
    return Mirrors(main, security, tuple(dict.fromkeys(keyrings))) if main else Mirrors()


def _sources(root: Path) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """(address, suites, keyring) of each binary source that has `main`."""
    folder = root / "etc/apt"
    for path in sorted((folder / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", re.sub(r"(?m)^#.*\n?", "", _text(path))):
            entry = {k.lower(): v.strip() for k, v in re.findall(r"(?m)^([\w-]+):[ \t]*(.*)$", stanza)}
            off = entry.get("enabled", "yes") == "no"
            if not off and "deb" in entry.get("types", "").split() and "main" in entry.get("components", "").split():
                for uri in entry.get("uris", "").split():
                    yield uri, tuple(entry.get("suites", "").split()), entry.get("signed-by", "")
    for path in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))]:
        for options, uri, suite, parts in re.findall(
            r"(?m)^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.*)$", _text(path)
        ):
            signed = re.search(r"signed-by=(\S+)", options)
            if "main" in parts.split():
                yield uri, (suite,), signed[1] if signed else ""


def _certificates(environ: Mapping[str, str], root: Path) -> tuple[str, ...]:
    bundle = root / environ.get("SSL_CERT_FILE", _BUNDLE).lstrip("/")
    distribution = {
        _body(pem)
        for path in (root / "usr/share/ca-certificates").rglob("*.crt")
        for pem in _CERTIFICATE.findall(_text(path))
    }
    if not distribution:
        return ()  # not a Debian layout: the difference to the distribution's own bundle cannot be told
    extra = {_body(pem): pem for pem in _CERTIFICATE.findall(_text(bundle)) if _body(pem) not in distribution}
    return tuple(extra.values())


def _indexes(environ: Mapping[str, str], root: Path) -> dict[str, str]:
    home = root / environ.get("HOME", "/root").lstrip("/")
    found: dict[str, str] = {}
    for path in (root / "etc/pip.conf", home / ".pip/pip.conf", home / ".config/pip/pip.conf"):
        config = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            config.read_string(_text(path))
        except configparser.Error:
            continue
        for key in ("index-url", "extra-index-url"):
            if value := config.get("global", key, fallback=""):
                found[f"PIP_{key.replace('-', '_').upper()}"] = value
    for path in (root / "etc/npmrc", home / ".npmrc"):
        if match := re.search(r"(?m)^registry\s*=\s*(\S+)", _text(path)):
            found["NPM_CONFIG_REGISTRY"] = match[1]
    found |= {name: value for name in _INDEXES if (value := environ.get(name) or environ.get(name.lower(), ""))}
    kept = {name: " ".join(u for u in re.split(r"\s+", value) if _public(u)) for name, value in found.items()}
    plain = {name: environ[name] for name in _PLAIN if environ.get(name)}
    return {name: value for name, value in kept.items() if value} | plain


def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    names = [name for lower in _PROXIES for name in (lower, lower.upper())]
    return {name: environ[name] for name in names if environ.get(name)}


def _public(address: str) -> bool:
    """May it stand in an image? A web address without credentials that is not this machine's own loopback."""
    parts = urlsplit(address.split(",")[0])
    loopback = (parts.hostname or "").startswith("127.") or parts.hostname in ("localhost", "::1")
    return parts.scheme in ("http", "https") and "@" not in address and bool(parts.hostname) and not loopback


def _body(pem: str) -> str:
    return "".join(pem.split())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
