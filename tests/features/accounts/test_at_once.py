"""The same from two people at the same moment, on both databases: the rules hold as if one had come after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from devflow.core.db import db
from devflow.features.accounts.models import User
from tests.at_once import at_once
from tests.conftest import Person


@pytest.fixture
def settings(each_store: dict[str, Any]) -> dict[str, Any]:
    return each_store


def test_two_who_demote_each_other_leave_one(app: Flask, ann: Person, person: Callable[..., Person]) -> None:
    bob = person("Bob")
    ann.call("PUT", f"/users/{bob.id}/role", role="master_admin")
    pairs = ((ann, bob), (bob, ann))
    answers = at_once(app, *[(who, "PUT", f"/users/{other.id}/role", {"role": "user"}) for who, other in pairs])
    assert answers[0] == 200 and answers[1] in (403, 409)
    with app.app_context():
        assert db.session.query(User).filter_by(role="master_admin").count() == 1
