"""What can be wrong with the chain, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devflow.core.crypto import link
from devflow.features.audit.rules.sealing import sealed_text


@dataclass(frozen=True)
class Fault:
    """The first thing that is wrong. `kind`: changed, missing, order, outside, head, expected or unreadable."""

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


Row = Mapping[str, Any]


def out_of_order(row: Row, around: Sequence[Row]) -> int | None:
    """The number this row was sealed with, if it stands at another's place; `around` are the rows near it."""
    hashes = ["", *(str(other["hash"]) for other in around)]
    for number in {other["number"] for other in around} - {row["number"]}:
        text = sealed_text({**row, "number": number})
        if any(link(before, text) == row["hash"] for before in hashes):
            return int(number)
    return None


def broken_link(row: Row, before: str, expected: int, around: Callable[[], Sequence[Row]]) -> Fault | None:
    """What is wrong with one link, given the hash before it and the number it should have."""
    number, key = row["number"], str(row["id"])
    if number < expected:
        return Fault("order", number, key, f"Two entries have the number {number}.")
    if number > expected:
        gone = f"Entry {expected} is" if number == expected + 1 else f"Entries {expected} to {number - 1} are"
        return Fault("missing", expected, None, f"{gone} missing: the next one is {number} ({key}).")
    if link(before, sealed_text(row)) == row["hash"]:
        return None
    own = out_of_order(row, around())
    if own is not None:
        text = f"The entry at {number} ({key}) was written as number {own}: entries were put in another order."
        return Fault("order", number, key, text)
    hint = " If AUDIT_KEY is another one than it was, every link looks like this." if number == 1 else ""
    return Fault("changed", number, key, f"Entry {number} ({key}) is not as it was written.{hint}")
