from __future__ import annotations

import pytest

from devflow.adapters.docker.baseimages.catalogue import (
    RECIPES,
    available,
    buildable,
    normalise,
    registry,
    resolve,
    series,
)
from devflow.adapters.docker.baseimages.render import lineage


@pytest.mark.parametrize(
    ("reference", "recipe"),
    [
        ("python:3.13-slim", "python:3.13-slim"),
        ("docker.io/library/python:3.13-slim", "python:3.13-slim"),
        ("python:3.13-alpine", "python:3.13-slim"),
        ("python:3.13-alpine3.22", "python:3.13-slim"),
        ("python:3.13-slim-bookworm", "python:3.13-slim"),
        ("python:3.13.5", "python:3.13"),
        ("python:3.13", "python:3.13"),
        ("python:3", "python:3.13"),
        ("python", "python:3.13"),
        ("python:slim", "python:3.13-slim"),
        ("python:3.11-bookworm", "python:3.11"),
        ("node:lts-alpine", "node:24-slim"),
        ("node:22.11.0-slim", "node:22-slim"),
        ("node:20", "node:20"),
        ("golang:1.24-alpine", "golang:1.24"),
        ("golang:1.24.2", "golang:1.24"),
        ("php:8.4-cli-alpine", "php:8.4-cli"),
        ("php:8.4", "php:8.4-cli"),
        ("ruby:3.3-slim", "ruby:3.3"),
        ("debian:trixie-slim", "debian:13-slim"),
        ("debian:bookworm", "debian:12-slim"),
        ("debian:stable-slim", "debian:13-slim"),
        ("nginx:alpine", "nginx:1.26"),
        ("nginx:stable-alpine", "nginx:1.26"),
        ("postgres:17-alpine", "postgres:17"),
        ("redis:8", "redis:8"),
    ],
)
def test_an_official_name_leads_to_the_recipe_that_stands_in_for_it(reference: str, recipe: str) -> None:
    resolution = resolve(reference)
    assert resolution is not None
    assert resolution.recipe.reference == recipe


@pytest.mark.parametrize(
    "reference",
    [
        "python:3.12-slim",
        "python:3.1",
        "python:2",
        "node:2",
        "php:8.4-fpm",
        "php:8.4-apache",
        "alpine:3.20",
        "ubuntu:24.04",
        "debian:unstable",
        "registry.example/acme/python:3.13",
        "acme/python:3.13",
        "python@sha256:0000",
        "node:24-windowsservercore",
    ],
)
def test_nothing_stands_in_for_what_would_be_a_lie(reference: str) -> None:
    assert resolve(reference) is None


def test_a_stand_in_says_what_is_different() -> None:
    exact, alpine, patch = resolve("python:3.13-slim"), resolve("node:22-alpine"), resolve("python:3.13.5-slim")
    assert exact is not None and alpine is not None and patch is not None
    assert exact.note == ""
    assert "node:22-slim" in alpine.note and "apk" in alpine.note
    assert "exact version" in patch.note and "apk" not in patch.note


def test_every_recipe_stands_on_the_distribution() -> None:
    for recipe in RECIPES.values():
        chain = lineage(recipe, RECIPES)
        assert chain[0].suite, f"{recipe.reference} ends at {chain[0].reference}"
        for step in chain[1:]:
            assert (step.folder / f"{step.dockerfile}.Dockerfile").is_file()


def test_versions_are_told_newest_first() -> None:
    assert buildable()["node"] == ("24", "22", "20")
    assert buildable()["python"] == ("3.13", "3.11")
    assert "node 24, 22, 20" in available()


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("python", "python:latest"),
        ("library/python:3", "python:3"),
        ("index.docker.io/library/python:3", "python:3"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
        ("a@sha256:12", "a@sha256:12"),
    ],
)
def test_names_are_brought_to_one_form(reference: str, name: str) -> None:
    assert normalise(reference) == name


@pytest.mark.parametrize(
    ("reference", "host"),
    [
        ("python:3", ""),
        ("acme/app:1", ""),
        ("docker.io/acme/app", ""),
        ("registry.example/a/b", "registry.example"),
        ("localhost/a", "localhost"),
        ("127.0.0.1:5000/a", "127.0.0.1:5000"),
    ],
)
def test_the_registry_of_a_name(reference: str, host: str) -> None:
    assert registry(reference) == host


@pytest.mark.parametrize(
    ("repository", "tag", "version"),
    [
        ("python", "3.13.5-slim", "3.13"),
        ("python", "3.13-slim", "3.13"),
        ("python", "3", ""),
        ("node", "22-alpine", "22"),
        ("node", "lts", ""),
        ("golang", "1.24", "1.24"),
    ],
)
def test_the_series_people_speak_of(repository: str, tag: str, version: str) -> None:
    assert series(repository, tag) == version
