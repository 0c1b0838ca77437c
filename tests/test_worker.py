"""The worker's loops: what passes is not told, what lasts is."""

from __future__ import annotations

from devflow.worker import Lasting


def test_only_a_trouble_that_lasts_is_told() -> None:
    time = 0.0
    lasting = Lasting(10, lambda: time)
    assert not lasting.tells()
    time = 9.0
    assert not lasting.tells(), "the edge may still be starting"
    lasting.over()
    time = 12.0
    assert not lasting.tells(), "it was there in between"
    time = 22.0
    assert lasting.tells() and lasting.tells()
