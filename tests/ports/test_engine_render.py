"""The pure parts of the Docker adapter: what is sent, and how answers are read."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from devflow.adapters.docker.cgroups import BuildLimits
from devflow.adapters.docker.classic import Transcript
from devflow.adapters.docker.dockerfile import syntax, without_syntax
from devflow.adapters.docker.failures import failure
from devflow.adapters.docker.lines import LONGEST, Lines
from devflow.adapters.docker.output import frames, nanoseconds
from devflow.adapters.docker.render import container_config, event, listening, moment
from devflow.adapters.docker.trace import Progress, fields, varint
from devflow.ports.engine import BuildEvent, BuildOutput, BuildStep, ContainerEvent, Limits, RunSpec


def test_lines_do_not_depend_on_how_bytes_were_cut() -> None:
    text = ("ünïcödé 漢字\r\nplain\n\n" + "é" * (LONGEST + 7) + "\nrest").encode()
    whole = Lines()
    expected = [*whole.feed(text), *whole.flush()]
    chance = random.Random(1)
    for _ in range(50):
        got: list[str] = []
        lines, at = Lines(), 0
        while at < len(text):
            size = chance.randint(1, 9000)
            got += lines.feed(text[at : at + size])
            at += size
        assert [*got, *lines.flush()] == expected
    assert expected[:3] == ["ünïcödé 漢字", "plain", ""]
    assert "".join(expected[3:-1]) == "é" * (LONGEST + 7)
    assert max(len(line.encode()) for line in expected) <= LONGEST


def test_an_endless_progress_bar_does_not_grow() -> None:
    lines = Lines(fold=True)
    for number in range(100_000):
        assert list(lines.feed(f"\r{number} %".encode())) == []
    assert list(lines.flush()) == ["99999 %"]


def test_frames_are_put_together() -> None:
    data = b"".join(
        bytes([kind, 0, 0, 0]) + len(text).to_bytes(4, "big") + text for kind, text in ((1, b"a\n"), (2, b""))
    )
    assert list(frames(data[i : i + 3] for i in range(0, len(data), 3))) == [("stdout", b"a\n"), ("stderr", b"")]


def _vertex(**values: object) -> bytes:
    numbers = {"digest": 1, "name": 3, "cached": 4, "started": 5, "completed": 6, "error": 7}
    out = b""
    for key, value in values.items():
        if isinstance(value, bool):
            out += varint(numbers[key] << 3) + varint(int(value))
        else:
            data = str(value).encode()
            out += varint(numbers[key] << 3 | 2) + varint(len(data)) + data
    return varint(1 << 3 | 2) + varint(len(out)) + out


def test_a_step_that_buildkit_repeats_is_told_once() -> None:
    progress = Progress()
    said = [
        event
        for message in (
            _vertex(digest="a", name="RUN x"),
            _vertex(digest="a", name="RUN x", started="t"),
            _vertex(digest="a", name="RUN x", started="t"),
            _vertex(digest="a", name="RUN x", started="t", completed="t"),
            _vertex(digest="a", name="RUN x", started="t", completed="t", cached=True),
            _vertex(digest="b", name="RUN y", started="t", completed="t", cached=True),
            _vertex(digest="c", name="RUN z", started="t", completed="t", error="boom"),
        )
        for event in progress.feed(message)
    ]
    assert [*said, *progress.flush()] == [
        BuildStep("RUN x", "started"),
        BuildStep("RUN x", "done"),
        BuildStep("RUN y", "cached"),
        BuildStep("RUN z", "started"),
        BuildStep("RUN z", "failed", "boom"),
    ]
    assert progress.failed == "RUN z"


def test_the_last_lines_of_a_step_come_before_its_end_however_they_are_cut() -> None:
    progress = Progress()
    ended = _vertex(digest="a", name="RUN x", started="t", completed="t", error="boom") + _log("a", "1\n2\n3")
    said = [*progress.feed(_vertex(digest="a", name="RUN x", started="t")), *progress.feed(ended)]
    assert progress.failed == "RUN x"
    said += [*progress.feed(_log("a", "45\nlast")), *progress.flush()]
    assert [event.text for event in said if isinstance(event, BuildOutput)] == ["1", "2", "345", "last"]
    assert [said[0], said[-1]] == [BuildStep("RUN x", "started"), BuildStep("RUN x", "failed", "boom")]


def _log(digest: str, text: str) -> bytes:
    parts = ((1, digest.encode()), (4, text.encode()))
    out = b"".join(varint(number << 3 | 2) + varint(len(data)) + data for number, data in parts)
    return varint(3 << 3 | 2) + varint(len(out)) + out


@pytest.mark.parametrize("data", [b"\x0a\x05ab", b"\x0a", b"\xff", b"\x0d\x01"])
def test_broken_protobuf_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="cut short"):
        list(fields(data))


@pytest.mark.parametrize(
    ("message", "step", "cause", "words"),
    [
        (
            'process "/bin/sh -c npm ci" did not complete successfully: exit code: 1',
            "",
            "build_failed",
            "`npm ci` ended",
        ),
        ("executor failed running [/bin/sh -c a [b]]: exit code: 137", "", "out_of_memory", "`a [b]` was killed"),
        ("write /x: no space left on device: exit code: 1", "", "disk_full", "disk"),
        (
            "dockerfile parse error on line 7: unknown instruction: FORM (did you mean FROM?)",
            "",
            "dockerfile_invalid",
            "Line 7",
        ),
        (
            "failed to solve: failed to resolve source metadata for docker.io/library/x:1: not found",
            "[internal] load metadata for docker.io/library/x:1",
            "image_not_found",
            "x:1 is not on this engine",
        ),
        ("pull access denied for y, repository does not exist", "[1/2] FROM y:2", "image_not_found", "y:2 is not"),
        (
            "manifest for z:3 not found: manifest unknown",
            "[1/2] FROM --platform=linux/amd64 z:3",
            "image_not_found",
            "z:3",
        ),
        ("dial tcp: lookup example.org: no such host", "[2/2] ADD https://example.org/x /x", "build_failed", "ADD"),
        (
            "failed to read dockerfile: open /Dockerfile: no such file or directory",
            "",
            "dockerfile_invalid",
            "no such file",
        ),
        ("something nobody has seen", "", "build_failed", "something nobody has seen"),
    ],
)
def test_messages_of_old_and_new_builders_are_understood(message: str, step: str, cause: str, words: str) -> None:
    error = failure(message, step)
    assert error.cause == cause
    assert words in error.message and error.hint


def test_the_classic_builders_text_becomes_steps() -> None:
    transcript = Transcript()
    said: list[BuildEvent] = []
    for text in (
        "Step 1/3 : FROM base",
        "\n",
        " ---> 00159da8690c\n",
        "Step 2/3 : RUN a",
        "\n",
        " ---> Using cache\n",
        " ---> 00159da8690d\n",
        "Step 3/3 : RUN b",
        "\n",
        " ---> Running in 181a352d0e85\n",
        "\x1b[91merr\n\x1b[0m",
        "out\n",
        "\n",
    ):
        said += transcript.feed(text)
    said += transcript.end("failed", "boom")
    assert [e for e in said if isinstance(e, BuildStep)] == [
        BuildStep("[1/3] FROM base", "started"),
        BuildStep("[1/3] FROM base", "done"),
        BuildStep("[2/3] RUN a", "cached"),
        BuildStep("[3/3] RUN b", "started"),
        BuildStep("[3/3] RUN b", "failed", "boom"),
    ]
    assert [e for e in said if isinstance(e, BuildOutput)] == [
        BuildOutput("[3/3] RUN b", "stderr", "err"),
        BuildOutput("[3/3] RUN b", "stdout", "out"),
        BuildOutput("[3/3] RUN b", "stdout", ""),
    ]


@pytest.mark.parametrize(
    ("text", "asked", "left"),
    [
        ("# syntax=docker/dockerfile:1\nFROM a\n", "docker/dockerfile:1", "#\nFROM a\n"),
        ("\ufeff#syntax = x/y:2 \n# escape=`\nFROM a", "x/y:2", "# escape=`\n#\nFROM a"),
        ("# a comment\n# syntax=late\nFROM a\n", "", "# a comment\n# syntax=late\nFROM a\n"),
        ("FROM a\n", "", "FROM a\n"),
    ],
)
def test_syntax_lines(text: str, asked: str, left: str) -> None:
    assert syntax(text) == asked
    assert without_syntax(text) == left


def test_an_unbounded_container_is_bounded_in_processes_only() -> None:
    host = container_config(RunSpec(name="a", image="b", network="c"))["HostConfig"]
    assert host["PidsLimit"] == 512 and "Memory" not in host and "NanoCpus" not in host


def test_listening_sockets_in_both_tables() -> None:
    head = "  sl  local_address rem_address   st tx_queue rx_queue\n"
    four = "   0: 0100007F:1388 00000000:0000 0A 0\n   1: 0B00007F:9C40 00000000:0000 0A 0\n"
    four += "   2: 0100007F:1F90 0100007F:0001 01 0\n"
    six = "   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 0\n"
    six += "   1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0\n"
    assert listening([head + four, head + six]) == (("127.0.0.1", 5000), ("::", 8080), ("::1", 80))
    assert listening([head + four + head + six]) == listening([head + four, head + six])


def test_events_and_times() -> None:
    attributes = {"image": "i", "name": "n", "exitCode": "1", "devflow.managed": "true"}
    message = {"Action": "die", "Actor": {"ID": "x", "Attributes": attributes}}
    assert event(message) == ContainerEvent("die", "x", {"devflow.managed": "true"})
    assert event({"Action": "exec_start: sh", "Actor": {"ID": "x"}}) is None
    assert moment("0001-01-01T00:00:00Z") is None
    at = moment("2026-11-22T01:35:10.006243348Z")
    assert at is not None and at.microsecond == 6243 and at.tzinfo is not None
    assert nanoseconds("2026-11-22T01:35:10.006243348Z") == int(at.timestamp()) * 10**9 + 6243348
    assert nanoseconds("1970-01-01T00:00:01Z") == 10**9


def _files(root: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_limits_on_cgroup_v2(tmp_path: Path) -> None:
    _files(tmp_path, cgroup_DOT_subtree_control="cpu memory", docker__cgroup_DOT_subtree_control="")
    _files(tmp_path, docker__buildkit__memory_DOT_swap_DOT_max="max")
    limits = BuildLimits("cgroupfs", "2", root=tmp_path)
    group = tmp_path / "docker/buildkit"
    with limits.hold(Limits(memory=1000, cpus=0.5)) as first:
        assert first.note == ""
        assert (group / "memory.max").read_text() == "1000" and (group / "cpu.max").read_text() == "50000 100000"
        assert (group / "memory.swap.max").read_text() == "0"
        with limits.hold(Limits(memory=500, cpus=1.0)):
            assert (group / "memory.max").read_text() == "1500" and (group / "cpu.max").read_text() == "150000 100000"
        assert (group / "memory.max").read_text() == "1000"
    assert (group / "memory.max").read_text() == "max" and (group / "cpu.max").read_text() == "max 100000"
    assert (tmp_path / "docker/cgroup.subtree_control").read_text() == "+memory +cpu"


def test_limits_where_systemd_places_each_step(tmp_path: Path) -> None:
    _files(tmp_path, cgroup_DOT_subtree_control="cpu memory")
    (tmp_path / "system.slice:docker:old").mkdir()
    with BuildLimits("systemd", "2", root=tmp_path).hold(Limits(memory=1000)) as hold:
        assert hold.look() == ""
        (tmp_path / "system.slice:docker:new").mkdir()
        assert hold.look() == ""
    assert (tmp_path / "system.slice:docker:new/memory.max").read_text() == "1000"
    assert not (tmp_path / "system.slice:docker:old/memory.max").exists()


def test_limits_that_cannot_be_set_are_said(tmp_path: Path) -> None:
    (tmp_path / "docker").write_text("in the way")
    for limits in (BuildLimits("cgroupfs", "2", root=tmp_path), BuildLimits("cgroupfs", "1", local=False)):
        with limits.hold(Limits(memory=1000)) as hold:
            assert hold.note.startswith("Memory and CPU limits cannot be set for this build: ")
            assert hold.note.endswith("It runs without them.")
        with limits.hold(Limits(seconds=1)) as hold:
            assert hold.note == ""
