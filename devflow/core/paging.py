"""Lists: what can be asked (`ListQuery`) and what comes back (`Page`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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

    def map(self, present: Callable[[T], Any]) -> Page[Any]:
        """The same page with each item turned into something else."""
        items = [present(item) for item in self.items]
        return Page(items, self.total, self.capped, self.page, self.per_page, self.offset)

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


def count_up_to(rows: Select[Any], cap: int) -> int:
    """How many rows there are, at most `cap`; costs no more than reading `cap` index entries."""
    # A constant and no column: the index that finds the rows then suffices, and the table is left alone.
    inner = rows.with_only_columns(literal(1), maintain_column_froms=True).order_by(None).limit(cap).subquery()
    return db.session.scalar(select(func.count()).select_from(inner)) or 0
