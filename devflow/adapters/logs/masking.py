"""Secrets never reach a log: they are replaced before a line is stored."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from devflow.adapters.logs.text import lines_of

MASK = "***"
SHORTEST = 4
"""Values with fewer characters are not masked: they would blank out half of every line."""


class Mask:
    """Replaces the secrets in a line: as they are, URL-encoded, as JSON text, and in base64 wherever they lie in it.

    A value of several lines is masked line by line. Everything is found by one compiled expression.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in _forms(secret) if len(form) >= SHORTEST}
        pattern = _pattern(forms)
        self._search = re.compile(pattern).search if forms else None
        self._everywhere = re.compile(f"(?=({pattern}))") if forms else None

    def __call__(self, line: str) -> str:
        """The line without the secrets; secrets that overlap go as one."""
        if self._search is None or self._everywhere is None or not self._search(line):
            return line
        parts, end = [], 0
        for start, stop in _joined(match.span(1) for match in self._everywhere.finditer(line)):
            parts += [line[end:start], MASK]
            end = stop
        return "".join([*parts, line[end:]])


def _joined(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans in order of their start, those that overlap joined."""
    start = stop = -1
    for left, right in spans:
        if left >= stop:
            if stop > start:
                yield start, stop
            start = left
        stop = max(stop, right)
    if stop > start:
        yield start, stop


def _forms(secret: str) -> Iterator[str]:
    """The ways a secret may show up in a line."""
    for value in {secret.strip(), *(line.strip() for line in lines_of(secret))}:
        if len(value) < SHORTEST:
            continue
        raw = value.encode(errors="surrogatepass")
        yield value
        yield json.dumps(value)[1:-1]
        yield json.dumps(value, ensure_ascii=False)[1:-1]
        for encoded in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
            yield encoded
            yield re.sub("%..", lambda match: match[0].lower(), encoded)
        for shift in range(3):
            core = _base64_core(raw, shift)
            yield core
            yield core.replace("+", "-").replace("/", "_")


def _base64_core(raw: bytes, shift: int) -> str:
    """The characters that stand for `raw` alone when `shift` bytes (modulo 3) come before it."""
    text = base64.b64encode(bytes(shift) + raw).decode()
    return text[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]


def _pattern(forms: Iterable[str]) -> str:
    """An expression for the longest of the forms: shared beginnings are written once, so a miss is found out early."""
    families: dict[str, list[str]] = {}
    for form in sorted(forms):
        families.setdefault(form[:1], []).append(form)
    options = []
    for family in families.values():
        beginning = _shared_beginning(family[0], family[-1])
        ends = [form.removeprefix(beginning) for form in family]
        rest = f"(?:{_pattern(end for end in ends if end)}){'?' if '' in ends else ''}" if len(family) > 1 else ""
        options.append(re.escape(beginning) + rest)
    return "|".join(options)


def _shared_beginning(first: str, last: str) -> str:
    """What a sorted family has in common, seen at its two ends."""
    for i, (left, right) in enumerate(zip(first, last, strict=False)):
        if left != right:
            return first[:i]
    return min(first, last, key=len)
