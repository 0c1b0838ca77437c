"""The fields that people's data is made of: addresses, passwords, names."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

from devflow.core.schema import written

_EMAIL = re.compile(r"[^@\s<>\"',;:\\()\[\]]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")


def email_address(value: str) -> str:
    """An address in one spelling, so that two spellings cannot be two people."""
    plain = unicodedata.normalize("NFKC", value).strip().lower()
    domain = plain.rpartition("@")[2]
    if len(plain) > 254 or not _EMAIL.fullmatch(plain) or not plain.isascii() or ".." in plain or "." not in domain:
        raise ValueError("Write an e-mail address such as ada@example.com.")
    return plain


Email = Annotated[str, AfterValidator(email_address)]
Password = Annotated[str, Field(min_length=8, max_length=1024)]
USER_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
UserName = Annotated[
    str,
    Field(min_length=2, max_length=64, json_schema_extra={"pattern": USER_NAME}),
    AfterValidator(written(USER_NAME, "Letters, digits, dots, dashes and underscores, a letter or digit first.")),
]
AVATAR = r"^https://[^\s/]+\S*$"
AvatarAddress = Annotated[
    str,
    Field(max_length=2000, json_schema_extra={"pattern": AVATAR}),
    AfterValidator(written(AVATAR, "An address that begins with https://.")),
]
