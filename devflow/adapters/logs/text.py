"""What a program printed, as clean lines: no control characters, no progress bars in 400 versions, no endless line."""

from __future__ import annotations

import re

LINE_BYTES = 8 * 1024
"""Longest stored line in UTF-8 bytes; more is cut, and the line says so."""

_COLOUR_OFF = "\x1b[0m"
_TORN_ESCAPE = re.compile(r"\x1b(?:\[[0-9;:]*)?$")
_UNWANTED = re.compile(
    r"(?P<colour>\x1b\[[0-9;:]*m)"  # stays
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"  # device strings
    r"|\x1b\[[0-?]*[ -/]*[@-~]?"  # cursor moves, erasing
    r"|\x1b[ -/]*[0-~]?"  # other escapes
    r"|[\x00-\x08\x0a-\x1f\x7f-\x9f]"  # control characters but the tab
    r"|(?P<torn>[\ud800-\udfff])"  # bytes that were no UTF-8
)


def lines_of(message: str) -> list[str]:
    """The lines of a text, at least one. Where `\\r` redraws a line, only its last state stays."""
    if message.isprintable():
        return [message]
    return [_clean(_last_state(line)) for line in message.removesuffix("\n").split("\n")]


def cut(line: str) -> str:
    """The line, or its first `LINE_BYTES` and how much is missing."""
    if len(line) <= LINE_BYTES // 4 or len(raw := line.encode()) <= LINE_BYTES:
        return line
    kept = _TORN_ESCAPE.sub("", raw[:LINE_BYTES].decode(errors="ignore"))
    end = _COLOUR_OFF if "\x1b" in kept else ""
    return f"{kept}{end} … [{len(raw) - LINE_BYTES} more bytes cut]"


def _last_state(line: str) -> str:
    if "\r" not in line:
        return line
    return next((state for state in reversed(line.split("\r")) if state), "")


def _clean(line: str) -> str:
    return line if line.isprintable() else _UNWANTED.sub(_kept, line)


def _kept(match: re.Match[str]) -> str:
    return match["colour"] or ("\ufffd" if match["torn"] else "")
