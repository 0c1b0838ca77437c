"""`scripts/bootstrap.py`: what it says and skips, with real sockets and programs. It never installs anything here."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, with a root folder of its own and a pip that only writes down what it was told."""
    spec = importlib.util.spec_from_file_location("devflow_bootstrap", ROOT / "scripts" / "bootstrap.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml"):
        (tmp_path / name).write_text(f"{name}\n")
    (tmp_path / ".venv").mkdir()
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@" >> "$(dirname "$0")/told"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    for name, path in {"ROOT": ".", "VENV": ".venv", "LOG": "var/bootstrap.log", "DAEMON_LOG": "var/d.log"}.items():
        monkeypatch.setattr(module, name, tmp_path / path)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    return module


def told(folder: Path) -> list[str]:
    """What pip was asked for since the last look."""
    file = folder / "told"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return lines


def test_packages_are_installed_once_for_a_lock(bootstrap: ModuleType, tmp_path: Path) -> None:
    assert bootstrap.dependencies(dev=False)
    first, second = told(tmp_path)
    assert "--require-hashes" in first and first.endswith("requirements.lock")
    assert "--no-build-isolation --no-deps -e" in second
    assert not bootstrap.dependencies(dev=False)
    assert told(tmp_path) == []
    (tmp_path / "requirements.lock").write_text("newer\n")
    assert bootstrap.dependencies(dev=False)
    assert len(told(tmp_path)) == 2


def test_test_libraries_stay_once_they_are_there(bootstrap: ModuleType, tmp_path: Path) -> None:
    bootstrap.dependencies(dev=False)
    assert bootstrap.dependencies(dev=True)
    assert told(tmp_path)[-2].endswith("requirements-dev.lock")
    assert not bootstrap.dependencies(dev=False)


def test_an_installation_that_failed_is_tried_again(bootstrap: ModuleType, tmp_path: Path) -> None:
    working = (tmp_path / "python").read_text()
    (tmp_path / "python").write_text("#!/bin/sh\necho collecting\necho 'ERROR: no such version'\nexit 1\n")
    with pytest.raises(bootstrap.Missing, match="could not be installed: ERROR: no such version"):
        bootstrap.dependencies(dev=False)
    assert "collecting" in (tmp_path / "var" / "bootstrap.log").read_text()
    (tmp_path / "python").write_text(working)
    assert bootstrap.dependencies(dev=False)


def test_what_is_there_is_not_installed(bootstrap: ModuleType) -> None:
    assert not bootstrap.packages({"coreutils": "ls", "base-files": "/etc", "passwd": "useradd"})


def test_who_is_not_root_is_told_the_command(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(bootstrap.Missing, match=r"sudo apt-get install no-such-package$"):
        bootstrap.packages({"coreutils": "ls", "no-such-package": "no-such-program"})
    monkeypatch.setattr(bootstrap, "engine_address", lambda: "unix:///var/run/docker.sock")
    monkeypatch.setattr(bootstrap, "ping", lambda address: "No such file or directory")
    with pytest.raises(bootstrap.Missing, match=r"sudo apt-get install docker\.io"):
        bootstrap.engine()
    monkeypatch.setattr(bootstrap, "ping", lambda address: "[Errno 13] Permission denied")
    with pytest.raises(bootstrap.Missing, match="sudo usermod -aG docker"):
        bootstrap.engine()


def test_an_engine_that_was_chosen_is_not_replaced(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(f"# a comment\nDOCKER_HOST='unix://{tmp_path}/other.sock'\n")
    assert bootstrap.engine_address() == f"unix://{tmp_path}/other.sock"
    with pytest.raises(bootstrap.Missing, match="DOCKER_HOST"):
        bootstrap.engine()
    monkeypatch.setenv("DOCKER_HOST", "ssh://root@far.example")
    assert bootstrap.engine_address() == "ssh://root@far.example"
    assert not bootstrap.engine()


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[str]:
    """A socket that answers every request like an engine."""
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        threading.Thread(target=_answer, args=(server,), daemon=True).start()
        yield f"unix://{path}"


def _answer(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")


def test_an_engine_is_known_by_its_answer(bootstrap: ModuleType, answering: str, tmp_path: Path) -> None:
    assert bootstrap.ping(answering) == ""
    assert "No such file" in bootstrap.ping(f"unix://{tmp_path}/none.sock")
    assert "refused" in bootstrap.ping("tcp://127.0.0.1:9")
    assert bootstrap.ping("unix:///var/run/docker.sock") == ""


def test_the_end_is_one_sentence_and_code_1(tmp_path: Path) -> None:
    """The whole script, as far as an engine that is not there, in a clone whose environment is up to date."""
    for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    code = (
        "import importlib.util, pathlib, sys\n"
        f"spec = importlib.util.spec_from_file_location('b', '{ROOT}/scripts/bootstrap.py')\n"
        "b = importlib.util.module_from_spec(spec); spec.loader.exec_module(b)\n"
        f"b.ROOT = pathlib.Path('{tmp_path}'); b.dependencies = lambda dev: False\n"
        "sys.exit(b.main(['--engine']))\n"
    )
    environment = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "does not answer" in done.stderr


def test_the_lock_names_no_place_and_has_a_hash_for_everything() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        assert "://" not in text and "--index-url" not in text
        entries = text.split("\n")
        pinned = [i for i, line in enumerate(entries) if "==" in line and not line.startswith((" ", "#"))]
        assert len(pinned) > 40
        assert all("--hash=sha256:" in entries[i + 1] for i in pinned)
