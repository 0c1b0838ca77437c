"""What processes write about themselves: one JSON object a line, so that any collector can read it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from devflow.core.clock import iso

Context = Callable[[], dict[str, Any]]
FIELDS = "fields"
"""The `extra` of a record whose values become keys of the line: `log.info("…", extra={FIELDS: {…}})`."""


class JsonLines(logging.Formatter):
    """Level, logger, message, stack trace, and what `context` knows (say, the request id)."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": iso(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if text := record.getMessage():
            line["message"] = text
        line |= getattr(record, FIELDS, None) or self._context()
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        return orjson.dumps(_printable(line), default=str).decode()


def _printable(line: dict[str, Any]) -> dict[str, Any]:
    """Half a surrogate pair is no text; a line is written all the same."""
    return {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in line.items()
    }


def start(context: Context = dict) -> None:
    """Let this process write its log to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(context))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
