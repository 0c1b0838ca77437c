"""A team of Ann's beside her own, and the link of an invitation as its letter carries it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import select

from devflow.core.crypto import vault
from devflow.core.db import db
from devflow.features.mail.models import Letter
from tests.conftest import Person


@pytest.fixture
def team(ann: Person) -> str:
    """The id of a team that Ann owns."""
    found: str = ann.call("POST", "/teams", 201, name="Storefront")["id"]
    return found


@pytest.fixture
def token_for(app: Flask) -> Callable[[str], str]:
    """The token in the newest invitation to an address."""

    def read(email: str) -> str:
        with app.app_context():
            mine = select(Letter).where(Letter.to == email, Letter.template == "invitation").order_by(Letter.id.desc())
            letter = db.session.scalars(mine).first()
            assert letter is not None
            found: str = json.loads(vault().open(letter.context))["path"]
            return found.removeprefix("/invitations/")

    return read
