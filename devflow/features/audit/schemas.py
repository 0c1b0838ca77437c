"""What the ledger shows, and how it is asked."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from devflow.core.paging import CursorQuery, ListQuery
from devflow.core.schema import Moment, Output, snake

SEARCHED = 20_000
"""Entries a search looks through for one page; where it stopped, the next page goes on."""
_SAME_DATES = {"start_date": "from_date", "since": "from_date", "end_date": "to_date", "until": "to_date"}


class EntryOut(Output):
    """One entry. `details` maps a field to [before, after]; a secret says only "changed"."""

    id: str
    number: int | None = Field(description="Place in the chain; null for entries older than the chain.")
    user_id: str | None
    user_name: str
    user_email: str
    team_id: str | None
    token_id: str | None
    action: str
    result: str
    resource_type: str
    resource_id: str
    resource_name: str
    description: str
    ip_address: str
    user_agent: str
    request_id: str
    status_code: int
    details: dict[str, Any]
    created_at: Moment


class ActivityOut(Output):
    """One act as the people of a team see it."""

    id: str
    team_id: str | None
    user_id: str | None
    user_name: str
    action: str
    resource_type: str
    resource_id: str
    description: str
    created_at: Moment


class PeriodQuery(ListQuery):
    """Lists of what happened; a day without a time means the whole day (UTC)."""

    default_limit: ClassVar[int] = 50

    action: str = Field("", max_length=80, description="An action such as project.updated, or all of them: `project.`")
    from_date: datetime | None = Field(None, description="Also start_date or since.")
    to_date: datetime | None = Field(None, description="Also end_date or until.")

    @model_validator(mode="before")
    @classmethod
    def _same_dates(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        data = {_SAME_DATES.get(name, name): value for name, value in ((snake(key), data[key]) for key in data)}
        day = data.get("to_date")
        if isinstance(day, str) and len(day.strip()) == 10:
            data["to_date"] = f"{day.strip()}T{time.max.isoformat()}"
        return data

    @field_validator("from_date", "to_date")
    @classmethod
    def _of_our_time(cls, value: datetime | None) -> datetime | None:
        if value is None:
            return None
        if not 1970 < value.year < 9999:  # in UTC it may be a year off
            raise ValueError("A date from 1971 to 9998.")
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value


class ActivityQuery(PeriodQuery):
    user_id: str = Field("", max_length=64)


class UserAuditQuery(PeriodQuery, CursorQuery):
    result: Literal["", "done", "denied"] = Field("", description="What was done, or attempts that were not allowed.")
    resource_type: str = Field("", max_length=40)
    resource_id: str = Field("", max_length=80)
    team_id: str = Field("", max_length=64)
    search: str = Field(
        "", max_length=200, description=f"In names, addresses and ids; {SEARCHED:,} entries at a time, see next_cursor."
    )


class AuditQuery(UserAuditQuery):
    user_id: str = Field("", max_length=64, description="Whose acts; `system` for DevFlow's own.")
