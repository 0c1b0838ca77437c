"""What all input and output schemas share."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema, model_validator

from devflow.core.clock import iso

_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")

Moment = Annotated[
    datetime,
    PlainSerializer(iso, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
"""A point in time, written as ISO 8601 in UTC with `Z`."""


def snake(name: str) -> str:
    """`buildCommand` -> `build_command`."""
    return _HUMP.sub(lambda match: "_" + match[1], name).lower() if _HUMP.search(name) else name


class Amiss(ValueError):
    """What a check of the whole input found, with the names of the fields it is about."""

    def __init__(self, text: str, *fields: str) -> None:
        super().__init__(text)
        self.fields = fields


class Lacking(Amiss):
    """Fields of which this input needs at least one more."""


def written(pattern: str, says: str) -> Callable[[str], str]:
    """A check that a whole text is written like this; `says` tells a person what is accepted."""
    accepted = re.compile(pattern)

    def check(text: str) -> str:
        if not accepted.fullmatch(text):
            raise ValueError(says)
        return text

    return check


def _holds_nul(data: Any) -> bool:
    """Is there a NUL byte in any text of this, however deep? PostgreSQL stores none."""
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if "\x00" in value:
                return True
        elif isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
    return False


class Input(BaseModel):
    """Data from outside: camelCase names are understood, text is stripped, NUL bytes are refused."""

    model_config = ConfigDict(str_strip_whitespace=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _plain_names(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        holding = [str(name).replace("\x00", "") for name, value in data.items() if _holds_nul([name, value])]
        if holding:
            raise Amiss("NUL bytes are not text.", *holding)
        return {(name if name in cls.model_fields else snake(name)): value for name, value in data.items()}


class Output(BaseModel):
    """Data that leaves the house, read from a row or a value."""

    model_config = ConfigDict(from_attributes=True)
