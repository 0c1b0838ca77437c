"""Lists: what can be asked (`ListQuery`) and what comes back (`Page`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import Field, field_validator, model_validator
from sqlalchemy import Select, func, literal, select

from devflow.core.db import db
from devflow.core.schema import Input

T = TypeVar("T")
COUNT_CAP = 10_000
"""Totals are counted exactly up to here; beyond it a page says so instead of scanning the table."""


class ListQuery(Input):
    """Paging in every form the contract knows: page + per_page, page + limit, offset + limit."""

    default_limit: ClassVar[int] = 20
    max_limit: ClassVar[int] = 100

    page: int = Field(1, ge=1, le=1_000_000)
    limit: int | None = Field(None, ge=1, description="Items on a page; at most 100.")
    per_page: int | None = Field(None, ge=1, description="The same as limit.")
    offset: int | None = Field(None, ge=0, le=100_000_000, description="Items to skip; wins over page.")

    @field_validator("limit", "per_page")
    @classmethod
    def _capped(cls, value: int | None) -> int | None:
        return None if value is None else min(value, cls.max_limit)

    @model_validator(mode="after")
    def _one_form(self) -> ListQuery:
        self.limit = self.limit or self.per_page or self.default_limit
        self.per_page = self.limit
        if self.offset is None:
            self.offset = (self.page - 1) * self.limit
        else:
            self.page = self.offset // self.limit + 1
        return self


class WholeQuery(ListQuery):
    """Paging of a list that comes whole to whoever does not ask for less (conflicts.md C03)."""

    default_limit: ClassVar[int] = 100


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list. `total` counts at most `COUNT_CAP` (then `capped` is true)."""

    items: Sequence[T]
    total: int
    capped: bool
    page: int
    per_page: int
    offset: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.per_page))

    @property
    def has_next(self) -> bool:
        return self.offset + len(self.items) < self.total or (self.capped and len(self.items) == self.per_page)

    @property
    def has_prev(self) -> bool:
        return self.offset > 0

    @property
    def first(self) -> int:
        return self.offset + 1 if self.items else 0

    @property
    def last(self) -> int:
        return self.offset + len(self.items)

    def map(self, present: Callable[[T], Any]) -> Any:
        """The same page with each item turned into something else."""
        return replace(self, items=[present(item) for item in self.items])  # type: ignore[arg-type]

    def meta(self) -> dict[str, Any]:
        """`meta.pagination`, with the names of all seeds (conflicts.md C03)."""
        return {
            "total": self.total,
            "total_items": self.total,
            "total_is_capped": self.capped,
            "count": len(self.items),
            "page": self.page,
            "current_page": self.page,
            "per_page": self.per_page,
            "limit": self.per_page,
            "offset": self.offset,
            "last_page": self.pages,
            "total_pages": self.pages,
            "has_more": self.has_next,
        }


def paginate(rows: Select[Any], asked: ListQuery, *, scalars: bool = True) -> Page[Any]:
    """Run an ordered select for the page asked for."""
    assert asked.limit is not None and asked.offset is not None
    found = db.session.execute(rows.limit(asked.limit).offset(asked.offset))
    items = list(found.scalars()) if scalars else list(found)
    if len(items) < asked.limit and (items or not asked.offset):
        total = asked.offset + len(items)  # this page is the last one: counting would only read everything again
    else:
        total = count_up_to(rows, COUNT_CAP + 1)
    return Page(items, min(total, COUNT_CAP), total > COUNT_CAP, asked.page, asked.limit, asked.offset)


def cut(items: Sequence[T], asked: ListQuery) -> Page[T]:
    """The page asked for of a list that is at hand as a whole."""
    assert asked.limit is not None and asked.offset is not None
    part = items[asked.offset : asked.offset + asked.limit]
    return Page(part, len(items), False, asked.page, asked.limit, asked.offset)


def count_up_to(rows: Select[Any], cap: int) -> int:
    """How many rows there are, at most `cap`; costs no more than reading `cap` index entries."""
    # A constant and no column: the index that finds the rows then suffices, and the table is left alone.
    inner = rows.with_only_columns(literal(1), maintain_column_froms=True).order_by(None).limit(cap).subquery()
    return db.session.scalar(select(func.count()).select_from(inner)) or 0


# Long lists: the next page begins behind the last item, wherever that is by then


class CursorQuery(ListQuery):
    """Paging by `cursor` as well: as fast on the last page as on the first, and nothing twice while new items come."""

    cursor: str | None = Field(
        None, max_length=65, pattern=r"^~?[0-9a-zA-Z-]+$",
        description="`meta.pagination.next_cursor` (or previous_cursor) of the page before; wins over offset and page.",
    )  # fmt: skip

    @property
    def newer(self) -> bool:
        """Does the cursor lead back to newer items?"""
        return (self.cursor or "").startswith("~")

    @property
    def key(self) -> str:
        """The key of the item where the cursor stands."""
        return (self.cursor or "").removeprefix("~")

    def within(self, rows: Select[Any], key: Any) -> Select[Any]:
        """The rows on the side of the cursor where the page lies."""
        if not self.cursor:
            return rows
        return rows.where(key > self.key if self.newer else key < self.key)


@dataclass(frozen=True)
class CursorPage(Page[T]):
    """A page with the cursors of its neighbours; `counted` unless it was asked for by cursor."""

    next_cursor: str | None = None
    previous_cursor: str | None = None
    counted: bool = True

    @property
    def has_next(self) -> bool:
        return self.next_cursor is not None

    def going_on(self, key: str) -> CursorPage[T]:
        """The same page, whose next one begins behind this key."""
        return replace(self, next_cursor=key)

    def meta(self) -> dict[str, Any]:
        cursors = {"next_cursor": self.next_cursor, "previous_cursor": self.previous_cursor}
        if self.counted:
            return super().meta() | cursors
        size = {"count": len(self.items), "per_page": self.per_page, "limit": self.per_page}
        return {**size, "has_more": self.has_next, **cursors}


def by_cursor(rows: Select[Any], asked: CursorQuery, key: Any) -> CursorPage[Any]:
    """Run a select, newest first by its unique `key`, for the page asked for by cursor, offset or page."""
    assert asked.limit is not None
    if not asked.cursor:
        page = paginate(rows.order_by(key.desc()), asked)
        older = getattr(page.items[-1], key.key) if page.has_next and page.items else None
        newer = f"~{getattr(page.items[0], key.key)}" if page.items and asked.offset else None
        return CursorPage(**_values(page), next_cursor=older, previous_cursor=newer)
    rows = asked.within(rows, key).order_by(key.asc() if asked.newer else key.desc()).limit(asked.limit + 1)
    found = list(db.session.scalars(rows))
    more = len(found) > asked.limit
    items = found[: asked.limit][::-1] if asked.newer else found[: asked.limit]
    ends = (getattr(items[0], key.key), getattr(items[-1], key.key)) if items else (None, None)
    older = ends[1] if more or asked.newer else None
    newer = f"~{ends[0]}" if ends[0] and (more or not asked.newer) else None
    return CursorPage(items, len(items), True, 1, asked.limit, 0, older, newer, counted=False)


def _values(page: Page[Any]) -> dict[str, Any]:
    return {field.name: getattr(page, field.name) for field in fields(page)}
