"""The same from two people at the same moment, on both databases: the rules hold as if one had come after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.exc import IntegrityError

from devflow.core.db import db
from devflow.features.accounts.models import User
from tests.at_once import at_once
from tests.conftest import PASSWORD, Person


@pytest.fixture
def rule() -> str:
    """Who may sign up."""
    return "open"


@pytest.fixture
def settings(each_store: dict[str, Any], rule: str) -> dict[str, Any]:
    return {**each_store, "sign_up": rule}


def test_two_who_demote_each_other_leave_one(app: Flask, ann: Person, person: Callable[..., Person]) -> None:
    bob = person("Bob")
    ann.call("PUT", f"/users/{bob.id}/role", role="master_admin")
    pairs = ((ann, bob), (bob, ann))
    answers = at_once(app, *[(who, "PUT", f"/users/{other.id}/role", {"role": "user"}) for who, other in pairs])
    assert answers[0] == 200 and answers[1] in (403, 409)
    with app.app_context():
        assert db.session.query(User).filter_by(role="master_admin").count() == 1


def sign_up(email: str, **more: Any) -> tuple[None, str, str, dict[str, Any]]:
    return (None, "POST", "/auth/register", {"name": "Somebody", "email": email, "password": PASSWORD, **more})


@pytest.mark.parametrize("rule", ["closed", "invitation"])
def test_where_sign_up_is_not_open_one_of_many_is_the_first(app: Flask) -> None:
    answers = at_once(app, *[sign_up(f"p{number}@example.com") for number in range(4)])
    assert answers == [201, 403, 403, 403]
    with app.app_context():
        assert [user.role for user in db.session.query(User)] == ["master_admin"]


def test_where_sign_up_is_open_one_of_many_is_administrator(app: Flask) -> None:
    assert at_once(app, *[sign_up(f"p{number}@example.com") for number in range(4)]) == [201] * 4
    with app.app_context():
        assert sorted(user.role for user in db.session.query(User)) == ["master_admin", "user", "user", "user"]


def test_a_user_name_is_taken_once_whatever_its_capitals(app: Flask, ann: Person) -> None:
    spellings = ("Bobby", "bobby", "BOBBY", "bObby")
    calls = [sign_up(f"p{number}@example.com", username=name) for number, name in enumerate(spellings)]
    assert at_once(app, *calls) == [201, 409, 409, 409]


def test_names_that_are_made_from_addresses_give_way(app: Flask, ann: Person) -> None:
    assert at_once(app, *[sign_up(f"bob@{number}.example.com") for number in range(4)]) == [201] * 4
    with app.app_context():
        assert sorted(user.username for user in db.session.query(User)) == ["ann", "bob", "bob-2", "bob-3", "bob-4"]


def test_an_address_signs_up_once(app: Flask, ann: Person) -> None:
    assert at_once(app, *[sign_up("bob@example.com")] * 4) == [201, 409, 409, 409]


def test_a_name_is_changed_to_by_one(app: Flask, ann: Person, person: Callable[..., Person]) -> None:
    people = [ann, person("Bob"), person("Cleo")]
    calls = [
        (who, "PATCH", "/users/me", {"username": name})
        for who, name in zip(people, ("Same", "same", "SAME"), strict=True)
    ]
    assert at_once(app, *calls) == [200, 409, 409]
    ann.call("PATCH", "/users/me", username=ann.call("GET", "/users/me")["username"].swapcase())  # one's own is free


def test_the_database_itself_refuses_a_name_that_differs_in_capitals_only(app: Flask, ann: Person) -> None:
    with app.app_context(), pytest.raises(IntegrityError):
        db.session.add(User(name="Imp", email="imp@example.com", username="ANN"))
        db.session.commit()
