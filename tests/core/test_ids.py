"""Identifiers in the order of time."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from devflow.core.ids import first_id_at, new_id


def test_ids_rise_and_are_of_version_seven() -> None:
    made = [new_id() for _ in range(1000)]
    assert made == sorted(set(made)) and {uuid.UUID(one).version for one in made} == {7}


def test_a_moment_is_a_place_among_ids() -> None:
    moment = datetime.now(UTC)
    assert first_id_at(moment - timedelta(milliseconds=1)) < first_id_at(moment) <= new_id()
    assert new_id() < first_id_at(datetime.now(UTC) + timedelta(milliseconds=2))
    assert uuid.UUID(first_id_at(moment)).version == 7
