from __future__ import annotations

from pathlib import Path

from devflow.adapters.docker.baseimages.host import Mirrors, read_host

CA, OTHER = (f"-----BEGIN CERTIFICATE-----\n{c * 8}\n-----END CERTIFICATE-----" for c in "AB")


def _write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def _debian(root: Path) -> None:
    _write(root, "etc/os-release", 'ID=debian\nVERSION_CODENAME=bookworm\nNAME="Debian"\n')


def test_mirrors_come_from_the_hosts_own_sources(tmp_path: Path) -> None:
    _debian(tmp_path)
    _write(
        tmp_path,
        "etc/apt/sources.list.d/debian.sources",
        "Types: deb\n# a comment\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n"
        "Components: main\nSigned-By: /keys/company.gpg\n\nTypes: deb\nURIs: http://mirror.example/security\n"
        "Suites: bookworm-security\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
    )
    expected = Mirrors("http://mirror.example/debian", "http://mirror.example/security", ("/keys/company.gpg",))
    assert read_host({}, tmp_path).mirrors == expected


def test_one_line_sources_are_read_and_others_left_alone(tmp_path: Path) -> None:
    _debian(tmp_path)
    _write(
        tmp_path,
        "etc/apt/sources.list",
        "# deb http://old.example bookworm main\ndeb https://user:secret@private.example bookworm main\n"
        "deb-src http://src.example bookworm main\ndeb [arch=amd64] http://mirror.example bookworm main contrib\n"
        "deb http://other.example/tool stable main\n",
    )
    assert read_host({}, tmp_path).mirrors == Mirrors("http://mirror.example")


def test_a_disabled_source_does_not_count(tmp_path: Path) -> None:
    _debian(tmp_path)
    _write(
        tmp_path,
        "etc/apt/sources.list.d/a.sources",
        "Enabled: no\nTypes: deb\nURIs: http://off.example\nSuites: bookworm\nComponents: main\n",
    )
    assert read_host({}, tmp_path).mirrors == Mirrors()


def test_on_another_distribution_mmdebstrap_chooses(tmp_path: Path) -> None:
    _write(tmp_path, "etc/os-release", "ID=ubuntu\nVERSION_CODENAME=noble\n")
    _write(tmp_path, "etc/apt/sources.list", "deb http://mirror.example noble main\n")
    assert read_host({}, tmp_path).mirrors == Mirrors()


def test_only_certificates_beyond_the_distributions_are_taken(tmp_path: Path) -> None:
    _write(tmp_path, "usr/share/ca-certificates/mozilla/a.crt", f"{CA}\n")
    _write(tmp_path, "etc/ssl/certs/ca-certificates.crt", f"{CA}\n{OTHER}\n")
    assert read_host({}, tmp_path).certificates == (OTHER,)
    _write(tmp_path, "opt/company.pem", f"{CA}\n")
    assert read_host({"SSL_CERT_FILE": "/opt/company.pem"}, tmp_path).certificates == ()


def test_indexes_reach_builds_but_never_with_credentials_or_a_loopback(tmp_path: Path) -> None:
    _write(tmp_path, "etc/pip.conf", "[global]\nindex-url = https://pip.example/simple\n")
    _write(tmp_path, "root/.npmrc", "fund=false\nregistry=https://npm.example/\n")
    assert read_host({}, tmp_path).indexes == {
        "PIP_INDEX_URL": "https://pip.example/simple",
        "NPM_CONFIG_REGISTRY": "https://npm.example/",
    }
    environ = {"PIP_INDEX_URL": "https://u:p@pip.example/", "NPM_CONFIG_REGISTRY": "http://127.0.0.1:4873/"}
    assert read_host(environ, tmp_path).indexes == {}
    extra = {"PIP_INDEX_URL": "", "PIP_EXTRA_INDEX_URL": "file:///srv/simple https://more.example/simple"}
    assert read_host(extra, tmp_path).indexes["PIP_EXTRA_INDEX_URL"] == "https://more.example/simple"


def test_go_proxies_keep_their_own_grammar(tmp_path: Path) -> None:
    environ = {"GOPROXY": "https://go.example,direct", "GOSUMDB": "off"}
    assert read_host(environ, tmp_path).indexes == environ


def test_proxies_are_build_arguments(tmp_path: Path) -> None:
    environ = {"https_proxy": "http://proxy.example:3128", "NO_PROXY": "localhost", "PATH": "/bin"}
    assert read_host(environ, tmp_path).proxies == {k: v for k, v in environ.items() if k != "PATH"}


def test_a_broken_configuration_counts_as_none(tmp_path: Path) -> None:
    _write(tmp_path, "etc/pip.conf", "index-url without a section\n\x00")
    assert read_host({}, tmp_path).indexes == {}
