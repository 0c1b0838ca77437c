"""Builds on the real engine, by both builders."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from devflow.adapters.docker.client import DockerEngine
from devflow.core.errors import Cancelled, StepFailed
from devflow.ports.engine import MANAGED, BuildEvent, BuildOutput, BuildStep, Limits
from tests.ports.engine_fixtures import Built, Scope, build, eventually

BUILDERS = ("buildkit", "classic")


@pytest.fixture(params=BUILDERS)
def builder(request: pytest.FixtureRequest) -> DockerEngine:
    return DockerEngine(builder=request.param)


def failed(result: Built) -> StepFailed:
    assert isinstance(result.error, StepFailed), result
    return result.error


def names(api: docker.APIClient) -> set[str]:
    return {name for row in api.containers(all=True) for name in row["Names"]}


def test_a_build_tells_its_steps_and_lines_and_gives_the_image(builder: DockerEngine, engine_scope: Scope) -> None:
    spec = engine_scope.build_spec(
        "FROM BASE\nARG WHO\nRUN echo hello $WHO; echo oops >&2\nEXPOSE 9000 80/tcp 53/udp\nUSER 1000\n",
        args={"WHO": "wörld"},
        no_cache=True,
    )
    result = build(builder, spec)
    image = result.image
    assert image is not None, result.error
    assert image.tags == (spec.tag,)
    assert image.ports == (80, 9000)
    assert image.user == "1000"
    assert image.labels == {MANAGED: "true", **engine_scope.labels}
    assert image.size > 1_000_000 and image.created_at is not None
    assert result.states("RUN echo hello") == ["started", "done"]
    assert BuildOutput(_step(result, "RUN echo hello"), "stdout", "hello wörld") in result.events
    assert BuildOutput(_step(result, "RUN echo hello"), "stderr", "oops") in result.events
    assert builder.image(spec.tag) == image


def _step(result: Built, part: str) -> str:
    return next(e.name for e in result.events if isinstance(e, BuildStep) and part in e.name)


def test_a_second_build_is_cached_and_no_cache_is_not(builder: DockerEngine, engine_scope: Scope) -> None:
    spec = engine_scope.build_spec(f"FROM BASE\nRUN echo {engine_scope.id}\nRUN echo second\n")
    first, again = build(builder, spec), build(builder, spec)
    # The end of a step and the start of the next may be told in either order.
    assert sorted(first.states("RUN")) == ["done", "done", "started", "started"]
    assert again.states("RUN") == ["cached", "cached"]
    assert again.image == first.image
    fresh = build(builder, replace(spec, no_cache=True))
    assert sorted(fresh.states("RUN")) == ["done", "done", "started", "started"]


def test_the_info_names_the_builder(engine: DockerEngine) -> None:
    info = engine.info()
    assert info.builder == "buildkit"
    assert info.cpus == os.cpu_count() and info.memory > 1 << 28
    assert DockerEngine(builder="classic").info().builder == "classic"


def test_a_failing_command_is_named(builder: DockerEngine, engine_scope: Scope) -> None:
    result = build(builder, engine_scope.build_spec("FROM BASE\nRUN echo before; exit 7\n"))
    error = failed(result)
    assert error.cause == "build_failed"
    assert error.message == "`echo before; exit 7` ended with exit code 7."
    assert result.states("RUN")[-1] == "failed"
    assert "before" in result.lines()
    assert engine_scope.engine.image(f"devflow-test/build-{engine_scope.id}:latest") is None


def test_a_failed_build_leaves_no_container(builder: DockerEngine, engine_scope: Scope) -> None:
    api = docker.APIClient(version="auto")
    before = names(api)
    failed(build(builder, engine_scope.build_spec(f"FROM BASE\nRUN echo {engine_scope.id}; false\n")))
    for row in api.containers(all=True, filters={"ancestor": engine_scope.base}):
        assert row["Names"][0] in before or engine_scope.id not in row["Command"]


@pytest.mark.parametrize(
    ("dockerfile", "cause", "words"),
    [
        (
            "FROM BASE\n\nRUNN x\n",
            "dockerfile_invalid",
            "Line 3 of the Dockerfile cannot be read: unknown instruction",
        ),
        ("", "dockerfile_invalid", "cannot be empty"),
        ("FROM BASE\nCOPY nope /x\n", "build_failed", "'nope'"),
        ("FROM devflow-test/absent:1\nRUN x\n", "image_not_found", ""),
        ("FROM BASE\nRUN no-such-program\n", "build_failed", "exit code 127"),
    ],
)
def test_failures_have_a_cause_and_a_sentence(
    builder: DockerEngine, engine_scope: Scope, dockerfile: str, cause: str, words: str
) -> None:
    error = failed(build(builder, engine_scope.build_spec(dockerfile)))
    assert error.cause == cause
    assert words in error.message
    assert error.hint


def test_an_absent_image_is_named(engine_scope: Scope) -> None:
    error = failed(build(engine_scope.engine, engine_scope.build_spec("FROM devflow-test/absent:1\nRUN x\n")))
    assert error.message.startswith("devflow-test/absent:1 is not on this engine and could not be pulled")


def test_an_absent_target_is_the_dockerfiles_fault(builder: DockerEngine, engine_scope: Scope) -> None:
    error = failed(build(builder, engine_scope.build_spec("FROM BASE\n", target="nope")))
    assert error.cause == "dockerfile_invalid"


@pytest.mark.parametrize("path", ["nope/Dockerfile", "../outside", "/etc/hostname"])
def test_a_dockerfile_that_is_not_there(engine_scope: Scope, path: str) -> None:
    (engine_scope.folder / "outside").write_text("FROM scratch\n")
    error = failed(build(engine_scope.engine, engine_scope.build_spec("FROM BASE\n", dockerfile=path)))
    assert error.cause == "dockerfile_invalid"
    assert path in error.message


def test_the_context_arrives_as_it_is(builder: DockerEngine, engine_scope: Scope) -> None:
    context = engine_scope.context(
        "FROM BASE\nCOPY . /ctx\nWORKDIR /ctx\n"
        "RUN find . | sort && readlink link && readlink dangling && stat -c %a run.sh\n"
    )
    long = "d" * 120 + "/" + "e" * 120
    for name in ("with space.txt", "ünïcödé-漢字.txt", "-dash", f"{long}/deep.txt", "run.sh"):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text(name)
    (context / os.fsdecode(b"latin-\xe9")).write_text("x")
    (context / "run.sh").chmod(0o750)
    (context / "empty").mkdir()
    (context / "link").symlink_to("with space.txt")
    (context / "dangling").symlink_to("/etc/shadow")
    os.mkfifo(context / "pipe")
    os.utime(context / "run.sh", (1.5, -1.5))
    result = build(builder, engine_scope.build_spec(None, context=context, no_cache=True))
    assert result.image, result.error
    lines = result.lines("stdout")
    for name in ("with space.txt", "ünïcödé-漢字.txt", "-dash", f"{long}/deep.txt", "empty", "Dockerfile"):
        assert f"./{name}" in lines
    assert "./latin-\ufffd" in lines
    assert lines[-3:] == ["with space.txt", "/etc/shadow", "750"]
    assert "./pipe" not in lines


def test_dockerignore_is_honoured(builder: DockerEngine, engine_scope: Scope) -> None:
    context = engine_scope.context("FROM BASE\nCOPY . /ctx\nRUN cd /ctx && find . -type f | sort\n")
    for name in (
        ".git/config",
        "node_modules/a/b.js",
        "src/keep.py",
        "src/drop.log",
        "logs/keep.log",
        "Dockerfile.bak",
    ):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text("x")
    (context / ".dockerignore").write_text("# a comment\n.git\nnode_modules\n**/*.log\n!logs/keep.log\n*.bak\n")
    result = build(builder, engine_scope.build_spec(None, context=context, no_cache=True))
    assert result.image, result.error
    found = set(result.lines("stdout")) - {"./Dockerfile", "./.dockerignore"}
    assert found == {"./src/keep.py", "./logs/keep.log"}


def test_a_generated_dockerfile_does_not_touch_the_tree(builder: DockerEngine, engine_scope: Scope) -> None:
    context = engine_scope.context("FROM nothing-that-exists\n", app="x")
    before = sorted(path.name for path in context.iterdir())
    text = f"FROM {engine_scope.base}\nCOPY app /app\nRUN cat /app\n"
    result = build(builder, engine_scope.build_spec(None, context=context, dockerfile_text=text, no_cache=True))
    assert result.image, result.error
    assert "x" in result.lines()
    assert sorted(path.name for path in context.iterdir()) == before


def test_a_dockerfile_elsewhere_in_the_tree(builder: DockerEngine, engine_scope: Scope) -> None:
    context = engine_scope.context("FROM nothing-that-exists\n")
    (context / "deploy").mkdir()
    (context / "deploy/prod.Dockerfile").write_text(f"FROM {engine_scope.base}\nRUN echo from deploy\n")
    (context / ".dockerignore").write_text("deploy\n")
    spec = engine_scope.build_spec(None, context=context, dockerfile="deploy/prod.Dockerfile", no_cache=True)
    result = build(builder, spec)
    assert "from deploy" in result.lines(), result.error


def test_a_syntax_line_is_left_out_when_its_frontend_cannot_be_fetched(engine_scope: Scope) -> None:
    engine = DockerEngine()  # a memory of its own for what is out of reach
    text = "# escape=`\n# syntax=devflow-test.invalid/frontend:1\nFROM BASE\nRUN echo one `\n two\nRUN false\n"
    spec = engine_scope.build_spec(text, no_cache=True)
    result = build(engine, spec)
    assert failed(result).message == "`false` ended with exit code 1."
    assert "one two" in result.lines()
    notes = [line for line in result.lines("stderr") if "devflow-test.invalid/frontend:1 cannot be fetched" in line]
    assert len(notes) == 1
    assert not [e for e in result.events if isinstance(e, BuildStep) and "resolve image config" in e.name]
    broken = build(engine, engine_scope.build_spec(text.replace("RUN false", "NOPE")))
    assert "Line 6" in failed(broken).message


def test_progress_lines_are_folded_and_rests_kept(builder: DockerEngine, engine_scope: Scope) -> None:
    text = "FROM BASE\nRUN printf 'a 1%%\\ra 50%%\\ra 100%%\\nwindows\\r\\nno end'\n"
    result = build(builder, engine_scope.build_spec(text, no_cache=True))
    assert [line for line in result.lines("stdout") if line] == ["a 100%", "windows", "no end"]


def test_fifty_thousand_lines_arrive_exactly_from_the_classic_builder(engine_scope: Scope) -> None:
    result = build(
        DockerEngine(builder="classic"), engine_scope.build_spec("FROM BASE\nRUN seq 1 50000\n", no_cache=True)
    )
    assert [line for line in result.lines("stdout") if line] == [str(n) for n in range(1, 50001)]


def test_buildkit_output_is_exact_or_says_where_it_was_clipped(engine_scope: Scope) -> None:
    result = build(engine_scope.engine, engine_scope.build_spec("FROM BASE\nRUN seq 1 50000\n", no_cache=True))
    lines = result.lines("stdout")
    expected = [str(n) for n in range(1, 50_001)]
    if lines != expected:
        clip = next(n for n, line in enumerate(lines) if "output clipped" in line)
        assert lines[: clip - 1] == expected[: clip - 1]


@pytest.mark.parametrize("size", [10, 70_000, 400_000])
def test_secrets_reach_the_step_and_stay_nowhere(engine_scope: Scope, size: int) -> None:
    secret = (f"s3cret-{engine_scope.id}-" * (size // 10 + 1))[: size - 1] + "!"
    text = (
        "FROM BASE\nRUN --mount=type=secret,id=token,required=true wc -c < /run/secrets/token; "
        "md5sum < /run/secrets/token; tail -c 1 /run/secrets/token\n"
    )
    result = build(engine_scope.engine, engine_scope.build_spec(text, secrets={"token": secret}, no_cache=True))
    assert result.image, result.error
    assert result.lines("stdout")[0] == str(size)
    assert result.lines("stdout")[-1] == "!"
    api = docker.APIClient(version="auto")
    saved = b"".join(api.get_image(result.image.id))
    assert secret[:17].encode() not in saved
    assert secret[:17] not in str(api.history(result.image.id)) + str(api.inspect_image(result.image.id))


def test_a_missing_secret_fails_its_step(engine_scope: Scope) -> None:
    text = "FROM BASE\nRUN --mount=type=secret,id=absent,required=true true\n"
    error = failed(build(engine_scope.engine, engine_scope.build_spec(text, secrets={"other": "x"}, no_cache=True)))
    assert "secret absent" in error.message
    assert error.cause == "build_failed"


def test_cache_mounts_keep_files_between_builds(engine_scope: Scope) -> None:
    mount = f"--mount=type=cache,id={engine_scope.id},target=/c"
    text = f"FROM BASE\nARG N\nRUN {mount} echo $N; cat /c/f; echo kept > /c/f\n"
    spec = engine_scope.build_spec(text, args={"N": engine_scope.id})
    assert "kept" not in build(engine_scope.engine, spec).lines()
    assert "kept" in build(engine_scope.engine, replace(spec, args={"N": "2"})).lines()


def test_the_classic_builder_says_what_it_cannot_do(engine_scope: Scope) -> None:
    spec = engine_scope.build_spec("FROM BASE\nRUN --mount=type=cache,target=/c true\n")
    error = failed(build(DockerEngine(builder="classic"), spec))
    assert error.cause == "dockerfile_invalid"
    assert "BuildKit" in error.message + error.hint


def _sleeping(seconds: str) -> bool:
    """Does a `sleep <seconds>` run anywhere on this machine?"""
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if cmdline.read_bytes() == f"sleep\0{seconds}\0".encode():
                return True
        except OSError:
            continue
    return False


def test_cancel_ends_a_silent_step_within_a_second_and_no_other_build(
    builder: DockerEngine, engine_scope: Scope
) -> None:
    seconds = f"1{int(engine_scope.id, 16) % 10**6:06d}"
    asked: list[float] = []

    def cancelled() -> bool:
        if not asked and _sleeping(seconds):
            asked.append(time.monotonic())
        return bool(asked)

    others: list[Built] = []
    spec = engine_scope.build_spec("FROM BASE\nRUN sleep 2; echo survived\n", no_cache=True)
    bystander = threading.Thread(target=lambda: others.append(build(builder, spec)))
    bystander.start()
    silent = engine_scope.build_spec(f"FROM BASE\nRUN exec sleep {seconds}\n", no_cache=True)
    silent = replace(silent, tag=f"devflow-test/build-{engine_scope.id}:cancelled")
    result = build(builder, silent, cancelled)
    assert isinstance(result.error, Cancelled)
    assert time.monotonic() - asked[0] < 1.0
    eventually(lambda: not _sleeping(seconds), 2)
    bystander.join()
    assert "survived" in others[0].lines() and others[0].image
    assert builder.image(silent.tag) is None


def test_a_build_cancelled_before_it_starts_does_nothing(builder: DockerEngine, engine_scope: Scope) -> None:
    result = build(builder, engine_scope.build_spec("FROM BASE\n"), lambda: True)
    assert isinstance(result.error, Cancelled)
    assert result.events == []


def test_the_time_limit_ends_a_build(builder: DockerEngine, engine_scope: Scope) -> None:
    spec = engine_scope.build_spec("FROM BASE\nRUN sleep 1000\n", no_cache=True, limits=Limits(seconds=1.5))
    result = build(builder, spec)
    assert failed(result).cause == "build_timeout"
    assert 1.4 < result.seconds < 3


def test_the_memory_limit_ends_a_build(builder: DockerEngine, engine_scope: Scope) -> None:
    spec = engine_scope.build_spec(
        "FROM BASE\nRUN exec tail /dev/zero\n", no_cache=True, limits=Limits(memory=200 << 20, cpus=2.0, seconds=60)
    )
    result = build(builder, spec)
    error = failed(result)
    assert error.cause == "out_of_memory"
    assert "more memory" in error.message
    assert not [line for line in result.lines() if "cannot be set" in line]
    again = build(builder, engine_scope.build_spec("FROM BASE\nRUN echo freed\n", no_cache=True))
    assert "freed" in again.lines()


def test_many_builds_at_once(engine_scope: Scope) -> None:
    results: list[Built] = []

    def one(number: int) -> None:
        spec = engine_scope.build_spec(f"FROM BASE\nRUN echo number {number}; sleep 0.2\n", no_cache=True)
        spec = replace(spec, tag=f"devflow-test/build-{engine_scope.id}:{number}")
        results.append(build(engine_scope.engine, spec))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(result.image for result in results), [result.error for result in results]
    assert sorted(line for r in results for line in r.lines() if line.startswith("number")) == [
        f"number {n}" for n in range(6)
    ]


def test_an_error_of_the_caller_ends_the_build(builder: DockerEngine, engine_scope: Scope) -> None:
    seconds = f"1{int(engine_scope.id, 16) % 10**6:06d}"

    def on_event(event: BuildEvent) -> None:
        if isinstance(event, BuildOutput) and event.text == "x":
            raise RuntimeError("the log store is full")

    spec = engine_scope.build_spec(f"FROM BASE\nRUN echo x; exec sleep {seconds}\n", no_cache=True)
    with pytest.raises(RuntimeError, match="log store"):
        builder.build(spec, on_event, lambda: False)
    eventually(lambda: not _sleeping(seconds), 5)
