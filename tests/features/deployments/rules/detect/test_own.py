"""Dockerfiles of users."""

from __future__ import annotations

import pytest

from devflow.core.errors import StepFailed
from devflow.features.deployments.rules.detect.own import instructions, parse
from tests.features.deployments.rules.detect.conftest import Plan


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("FROM python:3.13-slim", ["python:3.13-slim"]),
        ("from python:3.13-slim as a\nFROM a", ["python:3.13-slim"]),
        ("ARG V=22\nFROM node:${V}-slim", ["node:22-slim"]),
        ("ARG V\nFROM node:${V:-20}", ["node:20"]),
        ("ARG BASE='debian:13'\nFROM $BASE AS x\nFROM scratch\nCOPY --from=x / /", ["debian:13"]),
        ("FROM --platform=$BUILDPLATFORM golang:1.24 AS b\nFROM scratch\nCOPY --from=0 /a /a", ["golang:1.24"]),
        ("FROM a:1\nCOPY --from=b:2 --chown=1 /x /x", ["a:1", "b:2"]),
        ("FROM a:1\nRUN --mount=type=bind,from=c:3,target=/c true", ["a:1", "c:3"]),
        ("# FROM no\nFROM \\\n  # inside\n  a:1 \\\n  AS b\nRUN echo FROM x", ["a:1"]),
        ("FROM a:1\nRUN <<EOF\nFROM no:1\nEOF\nFROM b:2", ["a:1", "b:2"]),
        ("# escape=`\nFROM a:1 `\n AS x\nRUN dir C:\\\nFROM b:2", ["a:1", "b:2"]),
    ],
)
def test_the_images_it_stands_on(text: str, images: list[str]) -> None:
    assert parse(text).images == images


def test_an_image_known_only_when_building_is_mentioned(plan: Plan) -> None:
    found = plan({"Dockerfile": "ARG BASE\nFROM $BASE\n"})
    assert found.base_images == ()
    assert "`FROM $BASE` is known only when the build argument is given." in found.notes


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("FROM a\nEXPOSE 5000", 5000),
        ("FROM a\nEXPOSE 9000/udp 8000/tcp 7000", 7000),
        ("FROM a\nARG P=81\nEXPOSE $P", 81),
        ("FROM a\nENV PORT=4321\nEXPOSE ${PORT}", 4321),
        ("FROM a\nENV PORT 4321", 4321),
        ("FROM a AS x\nEXPOSE 1111\nFROM b", 8080),
        ("FROM a\nEXPOSE 99999", 8080),
        ("FROM a", 8080),
    ],
)
def test_the_port_it_opens(plan: Plan, text: str, port: int) -> None:
    assert plan({"Dockerfile": text}).port == port


def test_a_dockerfile_wins_over_everything_else(plan: Plan) -> None:
    found = plan({"Dockerfile": "# syntax=docker/dockerfile:1\nFROM a:1", "package.json": "{broken"})
    assert (found.framework, found.dockerfile, found.dockerfile_text) == ("dockerfile", "Dockerfile", None)
    assert any("docker/dockerfile:1" in note for note in found.notes)


def test_another_framework_may_be_asked_for(plan: Plan) -> None:
    assert plan({"Dockerfile": "FROM a:1", "index.html": ""}, framework="static").framework == "static"


def test_the_path_may_be_set(plan: Plan) -> None:
    assert plan({"docker/prod": "FROM a:1"}, dockerfile="docker/prod").dockerfile == "docker/prod"


@pytest.mark.parametrize("overrides", [{"dockerfile": "prod.Dockerfile"}, {"framework": "dockerfile"}])
def test_a_missing_dockerfile_is_named(plan: Plan, overrides: dict[str, str]) -> None:
    with pytest.raises(StepFailed) as failure:
        plan({"index.html": ""}, **overrides)
    assert failure.value.cause == "dockerfile_missing"


def test_a_dockerfile_without_from_is_broken(plan: Plan) -> None:
    with pytest.raises(StepFailed, match="it has no FROM instruction") as failure:
        plan({"Dockerfile": "RUN true\n"})
    assert failure.value.cause == "manifest_invalid"


def test_secrets_the_build_cannot_do_without(plan: Plan) -> None:
    text = "FROM a\nRUN --mount=type=secret,id=token,required=true --mount=type=secret,id=maybe true\n"
    assert plan({"Dockerfile": text}).required_secrets == ("token",)


def test_a_file_that_ends_in_a_continuation_is_read_to_the_end() -> None:
    assert instructions("FROM a \\") == [("FROM", "a")]
