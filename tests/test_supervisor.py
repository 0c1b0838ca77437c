"""The supervisor with tiny children, real signals and, once, the real gunicorn."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devflow.core.errors import Conflict
from devflow.core.settings import Settings, load
from devflow.supervisor import ports
from devflow.supervisor import services as service_list
from devflow.supervisor.fork import Fork
from devflow.supervisor.lock import only_one, running
from devflow.supervisor.output import Output
from devflow.supervisor.services import services

DRIVER = """
import json, sys
from pathlib import Path
from devflow.core.errors import DomainError
from devflow.core.settings import Settings, load
from devflow.supervisor.run import run
from devflow.supervisor.services import Service

plan = json.loads(sys.argv[1])
made = [
    Service(s["name"], tuple(s["argv"]), grace=s.get("grace", 5), level=s.get("level", 0), folder=Path(plan["folder"]),
            ready=(lambda file: lambda: Path(file).exists())(s["ready"]) if "ready" in s else None,
            forked=s.get("forked", False))
    for s in plan["services"]
]
settings = Settings(_env_file=None, data_dir=plan["folder"], app_url="http://devflow.test")
try:
    sys.exit(run(settings, made, on_ready=lambda: print("the caller heard it", flush=True)))
except DomainError as error:
    sys.exit(error.message)
"""
STEADY = """
import os, signal, sys, time
def stop(sign, frame):
    with open("order", "a") as f: f.write(sys.argv[1] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("pid", os.getpid(), flush=True)
while True: time.sleep(60)
"""
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
inner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("pid", os.getpid(), "inner", inner.pid, flush=True)
while True: time.sleep(60)
"""


def wait(condition: Callable[[], Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


class Up:
    """A supervisor in a process of its own."""

    def __init__(self, folder: Path, made: list[dict[str, Any]]) -> None:
        self.file = folder / "said"
        plan = json.dumps({"folder": str(folder), "services": made})
        with self.file.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-c", DRIVER, plan], stdout=said, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def said(self) -> str:
        return self.file.read_text()

    def waits_for(self, text: str) -> None:
        assert wait(lambda: text in self.said), self.said

    def pid(self, name: str, number: int = 0) -> int:
        """The process id a child printed, the number-th time."""

        def found() -> list[str]:
            return [line.split()[3] for line in self.said.splitlines() if line.startswith(f"{name:<6} | pid")]

        assert wait(lambda: len(found()) > number), self.said
        return int(found()[number])

    def stop(self, sign: int = signal.SIGINT) -> tuple[int, float]:
        started = time.monotonic()
        self.process.send_signal(sign)
        return self.process.wait(20), time.monotonic() - started


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    made: list[Up] = []

    def start(*plan: dict[str, Any]) -> Up:
        made.append(Up(tmp_path, list(plan)))
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def steady(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "argv": [sys.executable, "-c", STEADY, name], **more}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_it_says_when_all_answer_and_stops_in_order(up: Callable[..., Up], tmp_path: Path) -> None:
    one = up(steady("web", ready=str(tmp_path / "ready")), steady("edge", level=1), steady("worker"))
    for name in ("web", "edge", "worker"):
        one.pid(name)
    assert "is ready" not in one.said
    (tmp_path / "ready").touch()
    one.waits_for("DevFlow is ready: http://devflow.test")
    one.waits_for("the caller heard it")
    code, seconds = one.stop()
    assert (code, seconds < 5) == (0, True)
    order = (tmp_path / "order").read_text().split()
    assert order[-1] == "edge" and set(order[:2]) == {"web", "worker"}


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_stop_it_too(up: Callable[..., Up], sign: int) -> None:
    one = up(steady("web"))
    child = one.pid("web")
    assert one.stop(sign)[0] == 0
    assert not alive(child)


def test_what_crashes_is_started_again_after_a_growing_pause(up: Callable[..., Up]) -> None:
    one = up(steady("web"))
    first = one.pid("web")
    one.waits_for("is ready")
    os.kill(first, signal.SIGKILL)
    second = one.pid("web", 1)
    assert second != first
    one.waits_for("web was ended by SIGKILL; starting it again in 0.5 s.")
    os.kill(second, signal.SIGKILL)
    one.pid("web", 2)
    one.waits_for("starting it again in 1 s.")
    assert one.said.count("is ready") == 1


@pytest.fixture
def forked(tmp_path: Path) -> dict[str, Any]:
    """A service that runs in a copy of the supervisor."""
    (tmp_path / "steadily.py").write_text(STEADY)
    return {"name": "web", "argv": [sys.executable, "-m", "steadily", "web"], "forked": True}


def test_a_fork_is_started_again_named_and_stopped_like_any_other(
    up: Callable[..., Up], forked: dict[str, Any], tmp_path: Path
) -> None:
    one = up(forked, steady("edge", level=1))
    first = one.pid("web")
    one.waits_for("is ready")
    assert Path(f"/proc/{first}/comm").read_text().strip() == "devflow-web"
    assert os.getsid(first) == first
    held = [str(entry.readlink()) for entry in Path(f"/proc/{first}/fd").iterdir()]
    assert not any("up.pid" in name for name in held), held
    os.kill(first, signal.SIGKILL)
    one.waits_for("web was ended by SIGKILL; starting it again in 0.5 s.")
    second = one.pid("web", 1)
    code, seconds = one.stop()
    assert (code, seconds < 5) == (0, True) and not alive(second)
    assert (tmp_path / "order").read_text().split() == ["web", "edge"]


def test_a_fork_that_fails_says_why(up: Callable[..., Up], tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import sys\nprint('half a line', end='')\nsys.exit('no database')\n")
    argv = [sys.executable, "-m", "broken"]
    one = up({"name": "web", "argv": argv, "forked": True, "ready": str(tmp_path / "never")})
    assert one.process.wait(20) == 1
    assert "web ended with exit code 1 3 times" in one.said and "no database" in one.said


def test_a_fork_dies_with_a_supervisor_that_was_killed(up: Callable[..., Up], forked: dict[str, Any]) -> None:
    one = up(forked)
    child = one.pid("web")
    one.process.kill()
    one.process.wait()
    assert wait(lambda: not alive(child))


def test_nobody_forks_beside_threads() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        with pytest.raises(RuntimeError, match="beside threads"):
            Fork(lambda: None, "never")
    finally:
        done.set()
        thread.join()


def test_children_die_with_a_supervisor_that_was_killed(up: Callable[..., Up]) -> None:
    one = up(steady("web"), steady("edge", level=1))
    pids = [one.pid("web"), one.pid("edge")]
    one.process.kill()
    one.process.wait()
    assert wait(lambda: not any(alive(pid) for pid in pids))


def test_who_ignores_the_signal_is_killed_with_all_it_started(up: Callable[..., Up]) -> None:
    one = up({"name": "web", "argv": [sys.executable, "-c", STUBBORN], "grace": 0.3})
    pid = one.pid("web")
    inner = int(one.said.split("inner ")[1].split()[0])
    code, seconds = one.stop()
    assert code == 0 and 0.3 < seconds < 5
    assert "web did not stop in time and is killed." in one.said
    assert not alive(pid) and wait(lambda: not alive(inner))


def test_a_second_signal_does_not_wait_for_the_grace(up: Callable[..., Up]) -> None:
    one = up({"name": "web", "argv": [sys.executable, "-c", STUBBORN], "grace": 60})
    one.pid("web")
    one.process.send_signal(signal.SIGINT)
    one.waits_for("Stopping")
    assert one.stop()[1] < 5


def test_what_cannot_start_ends_it_with_the_reason(up: Callable[..., Up], tmp_path: Path) -> None:
    broken = {"name": "web", "argv": ["sh", "-c", "echo no database; exit 3"], "ready": str(tmp_path / "never")}
    one = up(broken, steady("edge", level=1))
    assert one.process.wait(20) == 1
    assert "web ended with exit code 3 3 times, so DevFlow cannot start. Its last line: no database" in one.said


def test_a_program_that_is_not_there_is_named(up: Callable[..., Up], tmp_path: Path) -> None:
    one = up({"name": "web", "argv": ["no-such-program"], "ready": str(tmp_path / "never")})
    assert one.process.wait(20) == 1
    assert "no-such-program cannot be started: No such file or directory" in one.said


def test_a_second_one_says_where_the_first_is(up: Callable[..., Up], tmp_path: Path) -> None:
    first = up(steady("web"))
    first.waits_for("is ready")
    assert running(tmp_path) == first.process.pid
    second = Up(tmp_path, [steady("web")])
    assert second.process.wait(10) == 1
    assert f"(process {first.process.pid}), at http://devflow.test" in second.said
    first.stop()
    assert running(tmp_path) is None
    with only_one(tmp_path, "http://devflow.test"):
        assert running(tmp_path) == os.getpid()


def test_the_file_holds_every_line_without_colours(tmp_path: Path) -> None:
    class Terminal:
        text = ""

        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> None:
            self.text += text

        def flush(self) -> None: ...

    terminal = Terminal()
    output = Output(tmp_path / "log" / "devflow.log", terminal)  # type: ignore[arg-type]
    output.write("web", "\x1b[31mred\x1b[0m alert")
    output.say("hello")
    output.close()
    lines = (tmp_path / "log" / "devflow.log").read_text().splitlines()
    assert lines[0].endswith("web    red alert") and lines[1].endswith("up     hello")
    if "NO_COLOR" not in os.environ:
        assert "\x1b[36mweb    | \x1b[0m\x1b[31mred" in terminal.text


def test_a_reader_that_left_stops_nothing(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        output = Output(tmp_path / "devflow.log", stream)
        output.say("still here")
        output.close()
        assert "still here" in (tmp_path / "devflow.log").read_text()
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # closing it shall not meet the broken pipe


def test_a_taken_port_is_reported_with_who_has_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        name = Path("/proc/self/comm").read_text().strip()
        with pytest.raises(Conflict) as conflict:
            ports.check([("127.0.0.1", port, "EDGE_HTTP_PORT")], patience=0)
    assert conflict.value.message == (
        f"Port {port} is taken by {name} (process {os.getpid()}). "
        "Stop that, or choose another port with EDGE_HTTP_PORT."
    )
    ports.check([("127.0.0.1", port, "PORT")])


def test_an_address_of_another_machine_is_refused_in_words() -> None:
    assert "cannot listen on 192.0.2.1:8000" in ports.obstacle("192.0.2.1", 8000, "HOST")


def test_a_child_reads_the_settings_we_were_started_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("EDGE_HTTP_PORT=8123\nJWT_SECRET=quiet\n")
    settings = load({"allow_local_repositories": True, "cors_origins": "https://a.test,https://b.test"})
    for service in services(settings, None):
        for name in os.environ.keys() - service.environment.keys():
            monkeypatch.delenv(name)
        for name, value in service.environment.items():
            monkeypatch.setenv(name, value)
        assert load().model_dump() == settings.model_dump() | {"data_dir": settings.folder}
        assert "JWT_SECRET" not in service.environment


def test_gunicorn_takes_our_options_and_is_seen_to_be_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_list, "ROOT", tmp_path)
    (tmp_path / "wsgi.py").write_text(
        "def app(environ, start):\n"
        "    ok = environ['PATH_INFO'] == '/health/ready'\n"
        "    start('200 OK' if ok else '404 Not Found', [('Content-Length', '0')])\n"
        "    return []\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = Settings(_env_file=None, data_dir=tmp_path, port=port, web_threads=2)  # type: ignore[call-arg]
    web = replace(services(settings, None)[0], folder=tmp_path)
    assert web.ready is not None and not web.ready()
    process = subprocess.Popen(web.argv, cwd=tmp_path)
    try:
        assert wait(web.ready)
    finally:
        process.terminate()
        assert process.wait(web.grace) == 0


def test_the_edge_is_left_out_where_it_runs_on_its_own(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path, edge_tls="internal")  # type: ignore[call-arg]
    assert [service.name for service in services(settings, None)] == ["web", "worker"]

    class Caddy:
        argv = ("caddy", "run")
        environment = {"HOME": "/"}

    edge = services(settings, Caddy())[-1]
    assert (edge.name, edge.argv, edge.level) == ("edge", ("caddy", "run"), 1)
    assert [port for _, port, _ in edge.ports] == [8080, 8443]
