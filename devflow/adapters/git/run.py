"""Runs git under limits: time, size on disk, and a person's wish to stop. What it started always ends with it."""

from __future__ import annotations

import codecs
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from devflow.core.errors import Cancelled, StepFailed, Unavailable

_PROGRESS_EVERY = 3.0
_LOOK_EVERY = 0.1
_MEASURE_EVERY = 0.2
_LARGEST_OUTPUT = 32 * 1024 * 1024


class TimedOut(Exception):
    """Git did not finish in time."""


@dataclass(frozen=True)
class Result:
    """How git ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def ok(self) -> bool:
        return self.code == 0


@dataclass
class Runner:
    """Runs several commands under one deadline. `deadline`: of the monotonic clock. `size`: bytes `folder` may hold."""

    environment: Mapping[str, str]
    deadline: float
    folder: Path | None = None
    size: int = 0
    on_line: Callable[[str], None] = lambda _: None
    cancelled: Callable[[], bool] = lambda: False
    cwd: Path | None = None
    _too_large: threading.Event = field(default_factory=threading.Event)

    def git(self, *arguments: str) -> Result:
        """Run to the end. Raises `Cancelled`, `TimedOut`, or `StepFailed` (repository_too_large)."""
        process = self._start(arguments)
        out, err = _Reader(process.stdout, None), _Reader(process.stderr, self.on_line)
        done = threading.Event()
        watch = threading.Thread(target=self._measure, args=(done,), daemon=True)
        if self.folder:
            watch.start()
        try:
            self._wait(process)
        finally:
            done.set()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # also what git itself left running
            process.wait()
            texts = out.finish(), err.finish()
        return Result(process.returncode, *texts)

    def check_size(self) -> None:
        """Raises `StepFailed` if the folder holds more than it may."""
        if self._too_large.is_set() or (self.folder and size_of(self.folder) > self.size):
            raise StepFailed(
                f"The repository is larger than the limit of {self.size / 1024 / 1024:.0f} MB.",
                cause="repository_too_large",
                hint="Remove large files from its history, or ask an administrator to raise MAX_REPOSITORY_SIZE.",
            )

    def _start(self, arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                ("git", *arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(self.environment),
                cwd=self.cwd,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise Unavailable("git is not installed on this server. Install the package git.") from error

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        ended = os.pidfd_open(process.pid)  # told at once; Popen.wait with a timeout looks at growing intervals
        try:
            while not select.select([ended], [], [], _LOOK_EVERY)[0]:
                if self.cancelled():
                    raise Cancelled("The checkout was cancelled.")
                if time.monotonic() > self.deadline:
                    raise TimedOut
                if self._too_large.is_set():
                    self.check_size()
        finally:
            os.close(ended)

    def _measure(self, done: threading.Event) -> None:
        """In a thread of its own: a large tree takes a while to walk, and a cancel must not wait for it."""
        while self.folder and not done.wait(_MEASURE_EVERY):
            if size_of(self.folder) > self.size:
                self._too_large.set()
                return


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder that may be changing meanwhile; links count as themselves."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - called for every file, often
    return total


class _Reader:
    """Collects a stream; hands on whole lines, and of a progress line that rewrites itself now and then a state."""

    def __init__(self, stream: IO[bytes] | None, on_line: Callable[[str], None] | None) -> None:
        self.stream, self.on_line = stream, on_line
        self.pieces: list[str] = []
        self.length = 0
        self.shown = time.monotonic()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def finish(self) -> str:
        self.thread.join(5)
        return "".join(self.pieces)

    def _read(self) -> None:
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        rest = ""
        stream = self.stream
        while stream and (data := os.read(stream.fileno(), 65536)):
            text = decode(data)
            if self.length < _LARGEST_OUTPUT:
                self.pieces.append(text)
                self.length += len(text)
            rest = self._lines(rest + text)
        if stream:
            stream.close()
        self._say(rest)

    def _lines(self, text: str) -> str:
        *whole, rest = text.replace("\r\n", "\n").split("\n")
        for line in whole:
            self._say(line.rpartition("\r")[2])
        state = rest.rstrip("\r").rpartition("\r")[2]
        if "\r" in rest and time.monotonic() - self.shown > _PROGRESS_EVERY:
            self._say(state)
            return ""
        return rest

    def _say(self, line: str) -> None:
        if self.on_line and (line := line.replace("\x1b[K", "").strip()):
            self.shown = time.monotonic()
            self.on_line(line)
