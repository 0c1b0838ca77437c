"""Letters as administrators see them: never with what they say."""

from __future__ import annotations

from pydantic import Field

from devflow.core.paging import ListQuery
from devflow.core.schema import Moment, Output


class LetterQuery(ListQuery):
    state: str | None = Field(None, pattern="^(waiting|sent|kept|failed|expired)$")


class LetterOut(Output):
    id: str
    to: str
    subject: str
    template: str
    state: str
    error: str
    created_at: Moment
    expires_at: Moment
    sent_at: Moment | None


class LinkOut(Output):
    link: str
