from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path

from devflow.adapters.docker.baseimages import render
from devflow.adapters.docker.baseimages.catalogue import RECIPES
from devflow.adapters.docker.baseimages.host import Host, Mirrors

COMPANY = Host(
    Mirrors("http://mirror.example/debian", "http://mirror.example/security", ("/keys/company.gpg",)),
    ("PEM",),
    {"PIP_INDEX_URL": "https://pip.example/simple"},
    {"https_proxy": "http://proxy.example:3128"},
)


def test_a_plain_host_leaves_no_trace_in_an_image() -> None:
    assert set(render.environment(Host())) == {"PATH"}
    command = render.bootstrap_command(RECIPES["debian:13-slim"], Mirrors(), None, Path("/t/root.tar"))
    assert command[-2:] == ["trixie", "/t/root.tar"]
    assert not any("ca-certificates/" in part or "keyring=" in part for part in command)


def test_the_hosts_mirror_keys_and_certificates_are_used() -> None:
    command = render.bootstrap_command(RECIPES["debian:12-slim"], COMPANY.mirrors, Path("/t/ca"), Path("/t/root.tar"))
    assert command[-3:] == [
        "deb http://mirror.example/debian bookworm main",
        "deb http://mirror.example/debian bookworm-updates main",
        "deb http://mirror.example/security bookworm-security main",
    ]
    assert "--keyring=/keys/company.gpg" in command
    assert any("/t/ca/*.crt" in part for part in command)


def test_trust_and_indexes_are_variables_of_the_image_and_proxies_are_not() -> None:
    changes = render.import_changes(COMPANY, {"a": 'quote " inside'})
    assert 'ENV PIP_CERT="/etc/ssl/certs/ca-certificates.crt"' in changes
    assert 'ENV PIP_INDEX_URL="https://pip.example/simple"' in changes
    assert 'LABEL a="quote \\" inside"' in changes
    assert not any("proxy" in change for change in changes)
    assert render.build_arguments(RECIPES["python:3.13-slim"], COMPANY)["https_proxy"] == "http://proxy.example:3128"


def test_an_image_is_out_of_date_when_anything_below_it_changed() -> None:
    recipe = RECIPES["python:3.13"]
    before = render.digest(recipe, RECIPES, Host())
    assert before == render.digest(recipe, RECIPES, Host())
    assert before != render.digest(recipe, RECIPES, COMPANY)
    changed = {**RECIPES, "debian:13-slim": replace(RECIPES["debian:13-slim"], suite="forky")}
    assert before != render.digest(recipe, changed, Host())


def test_the_context_holds_the_dockerfile_and_what_belongs_to_it() -> None:
    with tarfile.open(fileobj=io.BytesIO(render.context(RECIPES["nginx:1.26"]))) as tar:
        names = set(tar.getnames())
    assert names == {"Dockerfile", "nginx.conf", "nginx-default.conf", "nginx-index.html"}
