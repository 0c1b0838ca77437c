"""Which versions satisfy a wish, in the notations of Python, npm, Composer, Bundler and Go.

An available version is a line such as `3.13` or `22`: it stands for all its patch releases.
"""

from __future__ import annotations

import re

Version = tuple[int, ...]

_LTS = {"argon": 4, "boron": 6, "carbon": 8, "dubnium": 10, "erbium": 12, "fermium": 14}
_LTS |= {"gallium": 16, "hydrogen": 18, "iron": 20, "jod": 22, "krypton": 24}
_ANY = {"", "*", "x", "latest", "lts", "lts/*", "node", "current", "stable", "system", "ruby", "default"}
_TERM = re.compile(r"(~>|~=|>=|<=|===|==|!=|\^|~|>|<|=)?\s*v?(\d+(?:\.\d+)*)((?:\.[xX*])*)")
_PRE = re.compile(r"(?<=\d)-?(?:rc|alpha|beta|preview|dev|a|b|p|t)[.\d]*\b")
_NAME = re.compile(r"^(?:c?python|node|nodejs|ruby|go|php)[-@ ]?(?=v?\d)", re.IGNORECASE)


def number(text: str) -> Version:
    """`3.13` as (3, 13)."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:4] if len(part) < 6)


def normal(wanted: str | None) -> str:
    """A wish without names and decoration; "" when any version will do."""
    text = _PRE.sub("", _NAME.sub("", (wanted or "").strip().strip("\"'").lower()))
    if text.startswith("lts/") and text[4:] in _LTS:
        return str(_LTS[text[4:]])
    text = re.sub(r"(\d)\s+-\s+v?(?=\d)", r"\1 <=", ">=" + text) if re.search(r"\d\s+-\s+v?\d", text) else text
    return "" if text in _ANY or not _TERM.search(text) else text


def is_range(wanted: str) -> bool:
    """Does a wish leave a choice, beyond the patch release?"""
    return bool(re.search(r"[<>^~!|*,]|\.x|\s\d", wanted))


def satisfies(line: str, wanted: str) -> bool:
    """Does a release of this line satisfy the wish? `wanted` is in normal form."""
    have = number(line)
    return any(all(_holds(have, *term) for term in _TERM.findall(part)) for part in re.split(r"\|\|?", wanted))


def _holds(have: Version, operator: str, text: str, wildcard: str) -> bool:
    want = number(text)
    same = _common(have, want)
    if operator in ("", "=", "==", "==="):
        return same
    if operator == "!=":
        return not (wildcard and same)
    if operator in ("<", "<="):
        return have < _trimmed(want) if operator == "<" else have < want or same
    if operator == ">":
        return have > want[: len(have)] or (same and len(want) > len(have))
    floor = have >= want[: len(have)] or same
    return floor and (operator == ">=" or have < _ceiling(operator, want))


def _common(have: Version, want: Version) -> bool:
    """Equal as far as both are said: 3.13 and 3.13.2, 22 and 22.11.0."""
    length = min(len(have), len(want))
    return have[:length] == want[:length]


def _trimmed(want: Version) -> Version:
    while len(want) > 1 and want[-1] == 0:
        want = want[:-1]
    return want


def _ceiling(operator: str, want: Version) -> Version:
    """The first version that `^`, `~`, `~>` and `~=` no longer take."""
    if operator == "^":
        return (want[0] + 1,)
    if operator == "~" and len(want) == 2:  # npm and Poetry stop at the next minor; Composer's wider reading is `^`
        return (want[0], want[1] + 1)
    kept = want[:-1] or want
    return (*kept[:-1], kept[-1] + 1)
