"""Tokens for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from tests.conftest import Person

Token = Callable[..., Person]


@pytest.fixture
def token(app: Flask) -> Token:
    """Somebody's new API token as a person who asks with it: `token(ann, ["read"])`."""

    def make(owner: Person, scopes: list[str] | None = None, **more: Any) -> Person:
        made = owner.call("POST", "/dev/tokens", 201, name="ci", scopes=scopes or ["read"], **more)
        return Person(app.test_client(), made["id"], owner.email, made["token"])

    return make
