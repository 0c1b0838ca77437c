"""What can be wrong with the chain, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from devflow.core.crypto import Links
from devflow.features.audit.rules.sealing import sealed_text


@dataclass(frozen=True)
class Fault:
    """The first thing that is wrong. `kind`: changed, missing, order, outside, head, expected, unreadable, archive (a
    sealed file, or what is kept of it) or key (nothing fits AUDIT_KEY)."""

    kind: str
    number: int | None
    id: str | None
    says: str


@dataclass(frozen=True)
class Verdict:
    """How the chain is: entries checked, entries older than the chain, where it ends, and what is wrong if anything."""

    checked: int
    older: int
    number: int
    hash: str
    seconds: float
    fault: Fault | None = None
    left_out: int = 0
    """Numbers that an export leaves out between its first and its last."""
    archived: int = 0
    """Entries in sealed files."""
    files: int = 0
    """Sealed files that were there to be checked."""
    absent: tuple[str, ...] = ()
    """Sealed files that were not."""


Row = Mapping[str, Any]
HINTS = {
    "key": "Put the AUDIT_KEY back that the entries were sealed with, or behind the new one "
    "(`AUDIT_KEY=new,earlier`), and restart DevFlow. If it was never replaced, take it as forgery.",
    "archive": "Put the file back from a backup. Until then do not trust what is in it.",
    "unreadable": "Put the file back from a backup.",
}
"""What to do about a fault of this kind."""
HINT = (
    "Somebody or something changed the database past DevFlow. Keep a copy of it as it is, compare with a backup around "
    "that entry, and change the passwords of the database. To check by hand, run `devflow audit verify`."
)
"""What to do about any other."""


def mend(kind: str) -> str:
    """What to do about a fault."""
    return HINTS.get(kind, HINT)


def out_of_order(row: Row, around: Sequence[Row]) -> int | None:
    """The number this row was sealed with, if it stands at another's place; `around` are the rows near it."""
    hashes = ["", *(str(other["hash"]) for other in around)]
    for number in {other["number"] for other in around} - {row["number"]}:
        text = sealed_text({**row, "number": number})
        if any(Links().fit(before, text, row["hash"]) for before in hashes):
            return int(number)
    return None


def broken_link(
    row: Row, before: str, expected: int, links: Links, around: Callable[[], Sequence[Row]]
) -> Fault | None:
    """What is wrong with one link, given the hash before it and the number it should have."""
    number, key = row["number"], str(row["id"])
    if number < expected:
        return Fault("order", number, key, f"Two entries have the number {number}.")
    if number > expected:
        gone = f"Entry {expected} is" if number == expected + 1 else f"Entries {expected} to {number - 1} are"
        return Fault("missing", expected, None, f"{gone} missing: the next one is {number} ({key}).")
    if links.fit(before, sealed_text(row), row["hash"]):
        return None
    near = around()
    if another_key(near):
        text = f"From entry {number} on none fits AUDIT_KEY: it is another one than they were sealed with."
        return Fault("key", number, key, text)
    own = out_of_order(row, near)
    if own is not None:
        text = f"The entry at {number} ({key}) was written as number {own}: entries were put in another order."
        return Fault("order", number, key, text)
    return Fault("changed", number, key, f"Entry {number} ({key}) is not as it was written.")


def another_key(rows: Sequence[Row]) -> bool:
    """Do these entries look as if they were sealed with another key: not one fits, or none up to the one from which all
    do? Who forges a few spares the others."""
    fits = [Links().fit(str(before["hash"]), sealed_text(row), str(row["hash"])) for before, row in pairwise(rows)]
    first = next((at for at, fit in enumerate(fits) if fit), len(fits))
    return first >= (2 if first == len(fits) else 3) and all(fits[first:])
