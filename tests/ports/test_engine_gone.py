"""An engine that is away, goes away, or hangs. A cut in the line stands for it: the real engine is behind."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devflow.adapters.docker import connection, follow
from devflow.adapters.docker.client import DockerEngine
from devflow.core.errors import Unavailable
from devflow.ports.engine import BuildEvent, BuildOutput, BuildSpec, ContainerEvent, Limits, RunSpec
from tests.ports.engine_fixtures import Scope, eventually

REAL = "/var/run/docker.sock"


class Line:
    """A socket that passes everything on to the real engine, until it is cut or held."""

    def __init__(self, path: Path) -> None:
        self.host = f"unix://{path}"
        self.held = threading.Event()
        self._sockets: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(REAL)
                self._sockets += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self.held.is_set():
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        for end in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path / "line.sock")
    yield made
    made.cut()


RUN = RunSpec(name="devflow-test-gone", image="x", network="y")

CALLS: dict[str, Callable[[DockerEngine, Path], Any]] = {
    "info": lambda e, p: e.info(),
    "build": lambda e, p: e.build(BuildSpec("i", p, "t", dockerfile_text="FROM x"), lambda _: None, lambda: False),
    "image": lambda e, p: e.image("x"),
    "images": lambda e, p: e.images({}),
    "remove_image": lambda e, p: e.remove_image("x"),
    "export": lambda e, p: e.export("x", "/x", p / "out"),
    "ensure_network": lambda e, p: e.ensure_network("x", {}),
    "remove_network": lambda e, p: e.remove_network("x"),
    "run": lambda e, p: e.run(RUN),
    "run_to_end": lambda e, p: e.run_to_end(RUN, lambda *_: None, lambda: False),
    "start": lambda e, p: e.start("x"),
    "stop": lambda e, p: e.stop("x", 1),
    "remove": lambda e, p: e.remove("x"),
    "container": lambda e, p: e.container("x"),
    "containers": lambda e, p: e.containers({}),
    "output": lambda e, p: e.output("x", 5),
    "listening": lambda e, p: e.listening("x"),
    "usage": lambda e, p: e.usage("x"),
    "events": lambda e, p: next(e.events(lambda: False)),
    "prune_build_cache": lambda e, p: e.prune_build_cache(1 << 50),
    "networks": lambda e, p: e.networks({"devflow": "1"}),
}


def test_every_method_of_the_port_is_asked() -> None:
    assert set(CALLS) == {name for name in vars(DockerEngine) if not name.startswith("_")}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("state", ["never there", "gone since"])
def test_an_engine_that_is_away_is_unavailable(call: str, state: str, tmp_path: Path, line: Line) -> None:
    engine = DockerEngine(line.host if state == "gone since" else f"unix://{tmp_path}/none.sock")
    if state == "gone since":
        engine.info()
        line.cut()
    started = time.monotonic()
    with pytest.raises(Unavailable, match=r"The Docker engine does not answer at .*\.sock\. Start it"):
        CALLS[call](engine, tmp_path)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_an_engine_that_goes_away_in_a_build(builder: Any, line: Line, engine_scope: Scope) -> None:
    def on_event(event: BuildEvent) -> None:
        if isinstance(event, BuildOutput) and event.text == "here":
            line.cut()

    spec = engine_scope.build_spec("FROM BASE\nRUN echo here; sleep 5\n", no_cache=True)
    started = time.monotonic()
    with pytest.raises(Unavailable):
        DockerEngine(line.host, builder=builder).build(spec, on_event, lambda: False)
    assert time.monotonic() - started < 5


def test_an_engine_that_hangs_in_a_build(line: Line, engine_scope: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "SILENCE", 0.5)
    monkeypatch.setattr(connection, "PING", 0.5)

    def on_event(event: BuildEvent) -> None:
        if isinstance(event, BuildOutput) and event.text == "here":
            line.held.set()

    spec = engine_scope.build_spec("FROM BASE\nRUN echo here; sleep 3\n", no_cache=True)
    with pytest.raises(Unavailable):
        DockerEngine(line.host).build(spec, on_event, lambda: False)


def test_a_long_silence_is_no_failure(engine_scope: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "SILENCE", 0.3)
    spec = engine_scope.build_spec("FROM BASE\nRUN sleep 2\n", no_cache=True, limits=Limits(seconds=60))
    assert engine_scope.engine.build(spec, lambda _: None, lambda: False)


def test_a_command_on_an_engine_that_goes_away(line: Line, engine_scope: Scope) -> None:
    spec = engine_scope.shell("echo here; exec sleep 1000")
    with pytest.raises(Unavailable):
        DockerEngine(line.host).run_to_end(spec, lambda *_: line.cut(), lambda: False)


def test_events_end_quietly_and_an_output_thread_too(line: Line, engine_scope: Scope) -> None:
    engine = DockerEngine(line.host)
    said: list[str] = []
    made = engine.run(engine_scope.shell("echo here; exec sleep 1000"), lambda _, text: said.append(text))
    heard: list[ContainerEvent] = []

    def listen() -> None:
        for event in engine.events(lambda: False):
            heard.append(event)

    listener = threading.Thread(target=listen)
    listener.start()

    def connected() -> bool:
        engine.run(engine_scope.shell("true", name="-probe"))
        return bool(heard)

    eventually(connected)
    eventually(lambda: said == ["here"])
    line.cut()
    listener.join(10)
    assert not listener.is_alive()
    eventually(lambda: not [t for t in threading.enumerate() if t.name == f"output-{made.id[:12]}"])


def test_the_line_is_taken_up_again(tmp_path: Path) -> None:
    path = tmp_path / "line.sock"
    engine = DockerEngine(f"unix://{path}")
    with pytest.raises(Unavailable):
        engine.info()
    first = Line(path)
    version = engine.info().version
    first.cut()
    path.unlink()
    with pytest.raises(Unavailable):
        engine.info()
    second = Line(path)
    assert engine.info().version == version
    second.cut()
