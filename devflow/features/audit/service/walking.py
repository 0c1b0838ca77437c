"""Entries in the order of the chain, read a chunk at a time and checked link by link."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import text

from devflow.core.crypto import Links
from devflow.core.db import db
from devflow.core.errors import Cancelled
from devflow.features.audit.rules.faults import Fault, broken_link
from devflow.features.audit.rules.sealing import FIELDS

CHUNK = 2000
AROUND = 60
"""Entries on both sides among which a displaced one is looked for."""
_CHANGES, _CREATED = FIELDS.index("changes"), FIELDS.index("created_at")
_NAMES = (*FIELDS, "hash")
_COLUMNS = ", ".join("cast(changes as text)" if name == "changes" else name for name in _NAMES)
# Columns as the database's driver gives them: to make objects of a million rows takes longer than to check them.
_CHUNK = text(
    f"select {_COLUMNS} from audit_logs where number > :after and number <= :upto "  # noqa: S608
    "order by number, id limit :most"
)
_OLDER = text(
    f"select {_COLUMNS} from audit_logs where number is null and id > :after order by id limit :most"  # noqa: S608
)
Raw = Sequence[Any]
Row = dict[str, Any]


def never() -> bool:
    return False


def chunk(after: int, upto: int, most: int = CHUNK) -> Sequence[Raw]:
    """The next entries; no transaction lasts longer than this."""
    found = db.session.execute(_CHUNK, {"after": after, "upto": upto, "most": most}).all()
    db.session.rollback()
    return found


def older(after: str) -> Sequence[Raw]:
    """Entries from before the chain."""
    found = db.session.execute(_OLDER, {"after": after, "most": CHUNK}).all()
    db.session.rollback()
    return found


def read(raw: Raw) -> Row:
    """An entry as it was sealed; what cannot be read stays as it is, and so fits no link."""
    row: Row = dict(zip(_NAMES, raw, strict=True))
    with suppress(ValueError):
        row["changes"] = json.loads(row["changes"])
    with suppress(ValueError):
        at = row["created_at"]
        at = datetime.fromisoformat(at) if isinstance(at, str) else at
        row["created_at"] = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return row


def near(number: int) -> list[Row]:
    """The entries around one."""
    return [read(raw) for raw in chunk(number - AROUND - 1, number + AROUND)]


class Walker:
    """Goes along the chain from one link to the next, and stands still at the first fault."""

    def __init__(self, number: int, value: str) -> None:
        self.number, self.hash = number, value
        self.fault: Fault | None = None
        self._links = Links()

    def over(self, raws: Sequence[Raw]) -> None:
        """Check these entries."""
        for raw in raws:
            if raw[0] != self.number + 1 or not self._fits_at_once(raw):
                row, expected = read(raw), self.number + 1
                self.fault = broken_link(row, self.hash, expected, self._links, lambda at=raw[0]: near(at))  # type: ignore[misc]
                if self.fault:
                    return
            self.number, self.hash = raw[0], raw[-1]

    def to(self, end: int, stopped: Callable[[], bool] = never, rest: Callable[[float], None] | None = None) -> None:
        """Check up to this number. `rest` is told how many seconds each chunk took. Raises Cancelled."""
        while self.fault is None and self.number < end:
            if stopped():
                raise Cancelled("The check was stopped before its end.")
            began = time.monotonic()
            raws = chunk(self.number, end)
            self.over(raws)
            if len(raws) < CHUNK:
                return
            if rest:
                rest(time.monotonic() - began)

    def _fits_at_once(self, raw: Raw) -> bool:
        """The quick way to the same text, for entries of plain letters; no says nothing, the exact way decides."""
        row: Row = dict(zip(FIELDS, raw, strict=False))
        try:
            row["changes"] = orjson.loads(raw[_CHANGES])
            at = raw[_CREATED]
            if isinstance(at, str):
                row["created_at"] = f"{at[:10]}T{at[11:].removesuffix('.000000')}+00:00"
            else:
                row["created_at"] = at.astimezone(UTC)
            spelled = orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
        except (ValueError, TypeError, AttributeError):
            return False
        return spelled.isascii() and self._links.fit(self.hash, spelled.decode(), raw[-1])
