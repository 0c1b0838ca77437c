"""Folders out of images: the real engine's archive, and archives nobody should trust."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from devflow.adapters.docker.client import DockerEngine
from devflow.adapters.docker.unpack import unpack
from devflow.core.errors import StepFailed
from tests.ports.engine_fixtures import Scope, build


def exported(engine: DockerEngine, scope: Scope, script: str, path: str = "/app/dist") -> Path:
    spec = scope.build_spec(f"FROM BASE\nRUN mkdir -p /app/dist && cd /app/dist && {script}\n", no_cache=True)
    assert build(engine, spec).image
    destination = scope.folder / "out"
    engine.export(spec.tag, path, destination)
    return destination


def test_a_folder_comes_out_whole(engine: DockerEngine, engine_scope: Scope) -> None:
    script = (
        "mkdir -p a/b && echo index > index.html && echo deep > 'a/b/ü x.js' && ln -s index.html same && "
        "ln -s /app/dist/index.html a/absolute && ln index.html hard && chmod 4755 index.html && "
        "seq 1 500000 > big && mkfifo pipe && mkdir empty"
    )
    out = exported(engine, engine_scope, script)
    assert (out / "index.html").read_text() == "index\n"
    assert (out / "a/b/ü x.js").read_text() == "deep\n"
    assert (out / "same").readlink() == Path("index.html")
    assert (out / "a/absolute").readlink() == Path("../index.html")
    assert (out / "a/absolute").read_text() == (out / "hard").read_text() == "index\n"
    assert len((out / "big").read_text().splitlines()) == 500_000
    assert (out / "index.html").stat().st_mode & 0o7777 == 0o755
    assert (out / "empty").is_dir() and not (out / "pipe").exists()
    assert not docker.APIClient(version="auto").containers(all=True, filters={"ancestor": _tag(engine_scope)})


def _tag(scope: Scope) -> str:
    return f"devflow-test/build-{scope.id}:latest"


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd", "..", "/app", "/app/dist/../x"])
def test_a_link_that_leaves_the_folder_is_refused(engine: DockerEngine, engine_scope: Scope, target: str) -> None:
    with pytest.raises(StepFailed) as caught:
        exported(engine, engine_scope, f"echo x > page && ln -s {target} evil")
    assert caught.value.cause == "unsafe_link" and "evil" in caught.value.message
    assert list((engine_scope.folder / "out").iterdir()) == []


def test_a_folder_that_is_a_link_is_followed(engine: DockerEngine, engine_scope: Scope) -> None:
    out = exported(engine, engine_scope, "echo x > page && ln -s /app/dist /current", "/current")
    assert (out / "page").read_text() == "x\n"


@pytest.mark.parametrize(("path", "cause"), [("/app/nope", "output_missing"), ("/app/dist/page", "build_failed")])
def test_what_is_no_folder_is_named(engine: DockerEngine, engine_scope: Scope, path: str, cause: str) -> None:
    with pytest.raises(StepFailed) as caught:
        exported(engine, engine_scope, "echo x > page", path)
    assert caught.value.cause == cause and path in caught.value.message


def archive(*members: tuple[str, bytes, str]) -> Iterator[bytes]:
    """A tar of (name, type, link target); files hold their own name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name, kind, target in (("dist", tarfile.DIRTYPE, ""), *members):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode = kind, target, 0o755
            data = name.encode() if kind == tarfile.REGTYPE else b""
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    yield buffer.getvalue()


FILE, LINK, HARD, FOLDER = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


@pytest.mark.parametrize(
    "members",
    [
        [("dist/../escape", FILE, "")],
        [("dist/link", LINK, "/tmp"), ("dist/link/escape", FILE, "")],
        [("dist/hard", HARD, "../escape")],
        [("dist/hard", HARD, "/etc/passwd")],
        # Each link looks harmless by its text; walked, they lead out.
        [
            ("dist/a", FOLDER, ""),
            ("dist/a/b", FOLDER, ""),
            ("dist/a/b/up", LINK, "../.."),
            ("dist/evil", LINK, "a/b/up/.."),
        ],
        [("dist/one", LINK, "two/.."), ("dist/two", LINK, ".."), ("dist/x", FILE, "")],
    ],
)
def test_tricks_are_refused_and_leave_nothing(tmp_path: Path, members: list[tuple[str, bytes, str]]) -> None:
    destination = tmp_path / "in" / "out"
    with pytest.raises(StepFailed):
        unpack(archive(*members), "/app/dist", destination)
    assert list(destination.iterdir()) == []
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", "out"]


def test_links_among_folders_stay(tmp_path: Path) -> None:
    unpack(archive(("dist/v1", FOLDER, ""), ("dist/v1/x", FILE, ""), ("dist/now", LINK, "v1")), "/dist", tmp_path)
    assert (tmp_path / "now/x").read_text() == "dist/v1/x"
