"""One log for all processes: coloured names on a terminal, plain lines with the time in a rotated file."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import re
import sys
import threading
from pathlib import Path
from typing import IO

_COLOURS = (36, 35, 33, 32, 34)
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_FILE_SIZE = 10 * 1024 * 1024
_FILES = 5


class Output:
    """Safe to write to from any thread; a stdout nobody reads any more does not stop anything."""

    def __init__(self, file: Path, stream: IO[str] | None = None) -> None:
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self._handler = logging.handlers.RotatingFileHandler(
            file, maxBytes=_FILE_SIZE, backupCount=_FILES, encoding="utf-8", errors="replace"
        )
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(name)-6s %(message)s"))
        self._stream = stream or sys.stdout
        self._colour = self._stream.isatty() and "NO_COLOR" not in os.environ
        self._names: list[str] = []
        self._lock = threading.Lock()

    def write(self, name: str, line: str) -> None:
        """One line of a process."""
        plain = _ANSI.sub("", line)
        with self._lock:
            self._handler.handle(logging.makeLogRecord({"name": name, "msg": plain}))
            self._show(f"{self._prefix(name)}{line if self._colour else plain}")

    def say(self, line: str) -> None:
        """One line of DevFlow itself."""
        with self._lock:
            self._handler.handle(logging.makeLogRecord({"name": "up", "msg": line}))
            self._show(line)

    def close(self) -> None:
        self._handler.close()

    def _prefix(self, name: str) -> str:
        if name not in self._names:
            self._names.append(name)
        text = f"{name:<6} | "
        colour = _COLOURS[self._names.index(name) % len(_COLOURS)]
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour else text

    def _show(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            print(text, file=self._stream, flush=True)
