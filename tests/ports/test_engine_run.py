"""Containers on the real engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import docker
import pytest

from devflow.adapters.docker.client import DockerEngine
from devflow.core.errors import Cancelled, Conflict, NotFound, StepFailed
from devflow.ports.engine import MANAGED, Container, ContainerEvent, Limits
from tests.ports.engine_fixtures import Scope, eventually

Said = list[tuple[Literal["stdout", "stderr"], str]]


def collector() -> tuple[Said, Callable[[Literal["stdout", "stderr"], str], None]]:
    said: Said = []
    return said, lambda stream, text: said.append((stream, text))


def threads(container: Container) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == f"output-{container.id[:12]}"]


def ended(engine: DockerEngine, container: str) -> Container:
    def gone() -> Container | None:
        found = engine.container(container)
        return found if found and found.state == "exited" else None

    result: Container = eventually(gone)
    return result


def never() -> bool:
    return False


def test_a_container_runs_and_tells_about_itself(engine: DockerEngine, engine_scope: Scope) -> None:
    spec = engine_scope.shell('echo "hello $WHO"; exec sleep 1000', env={"WHO": "wörld = x"})
    said, on_output = collector()
    made = engine.run(spec, on_output)
    assert made.state == "running" and made.name == spec.name and made.image == spec.image
    assert made.address and made.address.startswith("10.2")
    assert made.exit_code is None and made.restarts == 0 and not made.oom_killed
    assert made.started_at is not None and made.finished_at is None
    assert made.labels == {MANAGED: "true", **engine_scope.labels}
    assert engine.container(spec.name) == engine.container(made.id) == made
    assert engine.containers(engine_scope.labels) == (made,)
    assert made in engine.containers({"devflow.test": "", MANAGED: "true"})
    assert engine.containers({"devflow.test": "another"}) == ()
    eventually(lambda: said == [("stdout", "hello wörld = x")])
    assert engine.output(made.id, 10) == ("hello wörld = x",)


def test_it_is_hardened(engine: DockerEngine, engine_scope: Scope) -> None:
    spec = engine_scope.shell(
        "grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status; mknod /tmp/d b 1 1 || echo no devices; "
        "chown 65534 /tmp && echo chowned; cat /proc/1/comm",
        limits=Limits(memory=64 << 20, cpus=0.5, pids=50),
        restart=True,
    )
    made = engine.run(replace(spec, command=("sh", "-c", (spec.command or ("",))[-1] + "; exec sleep 1000")))
    output = eventually(lambda: len(lines := engine.output(made.id, 20)) >= 7 and lines)
    kept = sum(1 << bit for bit in (0, 1, 3, 5, 6, 7, 10))
    assert f"CapBnd:\t{kept:016x}" in output and f"CapEff:\t{kept:016x}" in output
    assert "NoNewPrivs:\t1" in output
    assert "no devices" in output and "chowned" in output
    assert {"docker-init", "tini"} & set(output)
    host: dict[str, Any] = docker.APIClient(version="auto").inspect_container(made.id)["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == 64 << 20
    assert host["NanoCpus"] == 500_000_000 and host["PidsLimit"] == 50
    assert host["LogConfig"]["Config"]["max-size"] == "50m"
    assert host["RestartPolicy"]["Name"] == "unless-stopped"


def test_fifty_thousand_lines_on_two_streams_are_exact(engine: DockerEngine, engine_scope: Scope) -> None:
    said, on_output = collector()
    made = engine.run(engine_scope.shell("seq 1 50000; seq 1 500 >&2; printf rest"), on_output)
    ended(engine, made.id)
    eventually(lambda: not threads(made))
    assert [text for stream, text in said if stream == "stdout"] == [*map(str, range(1, 50001)), "rest"]
    assert [text for stream, text in said if stream == "stderr"] == [*map(str, range(1, 501))]


def test_odd_output_becomes_lines(engine: DockerEngine, engine_scope: Scope) -> None:
    said, on_output = collector()
    script = r"printf 'a\r\n\n\377b\n'; head -c 40000 /dev/zero | tr '\0' x; printf '\ntab\tend'"
    assert engine.run_to_end(engine_scope.shell(script), on_output, never) == 0
    texts = [text for _, text in said]
    assert texts[:3] == ["a", "", "\ufffdb"]
    assert "".join(texts[3:-1]) == "x" * 40000
    assert max(len(text) for text in texts) == 16 * 1024
    assert texts[-1] == "tab\tend"


def test_the_output_goes_on_after_a_restart(engine: DockerEngine, engine_scope: Scope) -> None:
    said, on_output = collector()
    count = "n=$(cat /n 2>/dev/null || echo 0); n=$((n+1)); echo $n > /n"
    script = f"{count}; echo run $n; echo err $n >&2; [ $n -ge 4 ] && exec sleep 1000; exit 3"
    made = engine.run(engine_scope.shell(script, restart=True), on_output)
    eventually(lambda: ("stdout", "run 4") in said and ("stderr", "err 4") in said)
    assert sorted(said) == sorted(
        [("stdout", f"run {n}") for n in range(1, 5)] + [("stderr", f"err {n}") for n in range(1, 5)]
    )
    found = engine.container(made.id)
    assert found and found.restarts == 3 and found.state == "running"
    engine.stop(made.id, 0)
    eventually(lambda: not threads(made))


def test_a_crash_loop_shows(engine: DockerEngine, engine_scope: Scope) -> None:
    made = engine.run(engine_scope.shell("exit 9", restart=True))
    found = eventually(lambda: (c := engine.container(made.id)) and c.restarts >= 2 and c.state == "restarting" and c)
    assert found.exit_code == 9 and found.address is None


def test_an_out_of_memory_kill_is_flagged(engine: DockerEngine, engine_scope: Scope) -> None:
    made = engine.run(engine_scope.run_spec("tail", "/dev/zero", limits=Limits(memory=32 << 20)))
    found = ended(engine, made.id)
    assert found.oom_killed and found.exit_code == 137 and found.finished_at is not None


def test_stop_kills_what_ignores_sigterm(engine: DockerEngine, engine_scope: Scope) -> None:
    said, on_output = collector()
    script = "trap 'echo ignored' TERM; echo ready; while true; do sleep 0.1; done"
    made = engine.run(engine_scope.shell(script, restart=True), on_output)
    eventually(lambda: ("stdout", "ready") in said)
    started = time.monotonic()
    engine.stop(made.id, 1)
    assert 0.9 < time.monotonic() - started < 4
    found = engine.container(made.id)
    assert found and found.state == "exited" and found.exit_code == 137
    assert ("stdout", "ignored") in said


def test_a_stopped_container_starts_again(engine: DockerEngine, engine_scope: Scope) -> None:
    made = engine.run(engine_scope.shell("trap 'exit 0' TERM; while true; do sleep 0.1; done", restart=True))
    engine.stop(made.id, 10)
    stopped = engine.container(made.id)
    assert stopped and stopped.state == "exited"
    again = engine.start(made.id)
    assert again.state == "running" and again.id == made.id and again.address
    engine.remove(made.id)
    with pytest.raises(NotFound):
        engine.start(made.id)


def test_what_is_gone_already_is_fine(engine: DockerEngine) -> None:
    engine.stop("devflow-test-absent", 1)
    engine.remove("devflow-test-absent")
    engine.remove_image("devflow-test/absent:1")
    engine.remove_network("devflow-test-absent")
    assert engine.container("devflow-test-absent") is None
    assert engine.image("devflow-test/absent:1") is None
    assert engine.output("devflow-test-absent", 5) == ()
    assert engine.listening("devflow-test-absent") == ()
    assert engine.usage("devflow-test-absent") is None


def test_a_container_of_the_same_name_is_replaced(engine: DockerEngine, engine_scope: Scope) -> None:
    first = engine.run(engine_scope.run_spec("sleep", "1000"))
    second = engine.run(engine_scope.run_spec("sleep", "1000"))
    assert first.name == second.name and first.id != second.id
    assert engine.container(first.id) is None


def test_what_is_not_ours_is_left_alone(engine: DockerEngine, engine_scope: Scope) -> None:
    api = docker.APIClient(version="auto")
    name = f"devflow-test-{engine_scope.id}"
    other = api.create_container(engine_scope.base, ["true"], name=name)["Id"]
    network = api.create_network(f"{name}-other")["Id"]
    try:
        for attempt in (lambda: engine.run(engine_scope.run_spec("true")), lambda: engine.remove(name)):
            with pytest.raises(Conflict, match="not made by DevFlow"):
                attempt()
        with pytest.raises(Conflict, match="not made by DevFlow"):
            engine.remove_network(f"{name}-other")
        with pytest.raises(Conflict, match="not made by DevFlow"):
            engine.remove_image(engine_scope.base)
        assert api.inspect_container(other)["Id"] == other
    finally:
        api.remove_container(other)
        api.remove_network(network)


@pytest.mark.parametrize(
    ("changes", "cause", "words"),
    [
        ({"image": "devflow-test/absent:1"}, "image_not_found", "devflow-test/absent:1 is not on this engine"),
        ({"network": "devflow-test-absent"}, "start_failed", "devflow-test-absent"),
    ],
)
def test_what_cannot_start_says_why(
    engine: DockerEngine, engine_scope: Scope, changes: dict[str, Any], cause: str, words: str
) -> None:
    with pytest.raises(StepFailed) as caught:
        engine.run(replace(engine_scope.run_spec("true"), **changes))
    assert caught.value.cause == cause and words in caught.value.message and caught.value.hint
    assert engine.containers(engine_scope.labels) == ()


def test_a_program_that_is_not_there_ends_with_127_and_says_so(engine: DockerEngine, engine_scope: Scope) -> None:
    said, on_output = collector()
    assert engine.run_to_end(engine_scope.run_spec("no-such-program"), on_output, never) == 127
    assert any("no-such-program" in text for _, text in said)


def test_listening_sockets_are_seen(engine: DockerEngine, engine_scope: Scope) -> None:
    script = "httpd -p 127.0.0.1:5000; httpd -p 8080; exec sleep 1000"
    made = engine.run(engine_scope.shell(script))
    found = eventually(lambda: len(ports := engine.listening(made.id)) == 2 and ports)
    assert ("127.0.0.1", 5000) in found
    assert {port for _, port in found} == {5000, 8080}
    engine.stop(made.id, 0)
    assert engine.listening(made.id) == ()


def test_usage_counts_memory_and_cpu(engine: DockerEngine, engine_scope: Scope) -> None:
    made = engine.run(engine_scope.shell("while true; do :; done", limits=Limits(memory=64 << 20, cpus=0.2)))
    first = engine.usage(made.id)
    assert first and 0 < first.memory < 64 << 20 and first.memory_limit == 64 << 20
    eventually(lambda: (now := engine.usage(made.id)) and now.cpu_seconds > first.cpu_seconds)
    engine.stop(made.id, 0)
    assert engine.usage(made.id) is None


def test_output_gives_the_last_lines(engine: DockerEngine, engine_scope: Scope) -> None:
    made = engine.run(engine_scope.shell("seq 1 100"))
    ended(engine, made.id)
    assert engine.output(made.id, 3) == ("98", "99", "100")
    assert engine.output(made.id, 0) == ()
    assert len(engine.output(made.id, 1000)) == 100


def test_events_of_managed_containers_arrive(engine: DockerEngine, engine_scope: Scope) -> None:
    network = engine_scope.network()
    heard: list[ContainerEvent] = []
    stop = threading.Event()

    def listen() -> None:
        for event in engine.events(stop.is_set):
            if event.labels.get("devflow.test") == engine_scope.id:
                heard.append(event)

    listener = threading.Thread(target=listen)
    listener.start()
    probe = engine_scope.shell("exit 4", name="-probe")

    def connected() -> bool:
        engine.run(probe)
        engine.remove(probe.name)
        return bool(heard)

    eventually(connected)
    made = engine.run(engine_scope.shell("exit 4"))
    ended(engine, made.id)
    engine.remove(made.id)
    mine = eventually(lambda: len(found := [e for e in heard if e.container_id == made.id]) >= 3 and found)
    assert [event.kind for event in mine] == ["start", "die", "destroy"]
    assert mine[0].labels == {MANAGED: "true", **engine_scope.labels}
    stop.set()
    listener.join(5)
    assert not listener.is_alive() and network


def test_a_command_runs_to_its_end(engine: DockerEngine, engine_scope: Scope) -> None:
    said, on_output = collector()
    spec = engine_scope.shell("echo out; echo err >&2; exit 42", restart=True)
    assert engine.run_to_end(spec, on_output, never) == 42
    assert sorted(said) == [("stderr", "err"), ("stdout", "out")]
    assert engine.containers(engine_scope.labels) == ()


def test_a_command_that_closes_its_output_is_waited_for(engine: DockerEngine, engine_scope: Scope) -> None:
    script = "exec >&- 2>&-; sleep 1; exit 5"
    assert engine.run_to_end(engine_scope.shell(script), lambda *_: None, never) == 5


def test_a_command_is_cancelled_and_removed(engine: DockerEngine, engine_scope: Scope) -> None:
    said, on_output = collector()
    with pytest.raises(Cancelled):
        engine.run_to_end(engine_scope.shell("echo here; exec sleep 1000"), on_output, lambda: bool(said))
    assert engine.containers(engine_scope.labels) == ()


def test_a_command_has_a_time_limit(engine: DockerEngine, engine_scope: Scope) -> None:
    with pytest.raises(StepFailed) as caught:
        engine.run_to_end(engine_scope.shell("exec sleep 1000", limits=Limits(seconds=1)), lambda *_: None, never)
    assert caught.value.cause == "timeout"
    assert engine.containers(engine_scope.labels) == ()


def test_a_command_out_of_memory_says_so(engine: DockerEngine, engine_scope: Scope) -> None:
    with pytest.raises(StepFailed) as caught:
        engine.run_to_end(
            engine_scope.run_spec("tail", "/dev/zero", limits=Limits(memory=32 << 20)), lambda *_: None, never
        )
    assert caught.value.cause == "out_of_memory"
