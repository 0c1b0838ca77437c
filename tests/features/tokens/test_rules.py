"""How values are written, how wide tokens are, and when letters are due."""

from __future__ import annotations

import string
from datetime import UTC, date, datetime, timedelta

import pytest

from devflow.core.access import SCOPES, SYSTEM_ROLES, Actor, Permission, allowed_by
from devflow.features.tokens import rules

P = Permission
DAY = timedelta(days=1)


def test_a_value_carries_prefix_randomness_and_checksum() -> None:
    values = {rules.new_value() for _ in range(500)}
    assert len(values) == 500
    for value in values:
        assert value.startswith("dvf_") and len(value) == 4 + 32 + 6
        assert set(value[4:]) <= set(string.ascii_letters + string.digits)
        assert rules.well_formed(value)


def test_every_single_wrong_character_is_noticed() -> None:
    value = rules.new_value()
    for at in range(len(value)):
        for other in "0aZ_é":
            wrong = value[:at] + other + value[at + 1 :]
            assert wrong == value or not rules.well_formed(wrong), (value, wrong)
    swapped = value[:10] + value[11] + value[10] + value[12:]
    assert swapped == value or not rules.well_formed(swapped)


@pytest.mark.parametrize(
    "text", ["", "dvf_", "dvf_abc", "dvf_" + "é" * 38, "dvf_" + "0" * 39, "ghp_" + "0" * 38, "\x00" * 42]
)
def test_rubbish_is_no_token(text: str) -> None:
    assert not rules.well_formed(text)


def test_the_checksum_is_the_same_in_every_release() -> None:
    assert rules.well_formed("dvf_abcdefghijklmnopqrstuvwxyz0123451nc0VA")
    assert not rules.well_formed("dvf_abcdefghijklmnopqrstuvwxyz0123461nc0VA")


def test_every_permission_but_the_open_ones_is_in_exactly_one_coarse_scope_or_in_every_token() -> None:
    for permission in P:
        found = [word for word, allowed in SCOPES.items() if permission in allowed]
        always = permission in allowed_by([])
        assert len(found) + always <= 1, permission


def test_limits_take_away_what_reaches_further() -> None:
    everything = list(SCOPES)
    assert P.USERS_MANAGE in rules.cap(everything, None, ())
    of_team, of_project = rules.cap(everything, "t", ()), rules.cap(everything, None, ("p",))
    for far in (P.USERS_MANAGE, P.PLATFORM_MANAGE, P.ACCOUNT_MANAGE, P.TEAMS_CREATE):
        assert far not in of_team and far not in of_project
    assert P.MEMBERS_MANAGE in of_team and P.MEMBERS_MANAGE not in of_project
    assert P.PROJECTS_CREATE in of_team and P.PROJECTS_CREATE not in of_project
    assert P.DEPLOYMENTS_CREATE in of_project and P.TOKENS_VERIFY in of_project


def test_a_scope_that_a_later_release_called_differently_allows_nothing() -> None:
    assert rules.cap(["ships:sink"], None, ()) == allowed_by([])


def test_nobody_gives_a_token_what_they_hold_nothing_of() -> None:
    user = Actor("u", "Ann", platform=SYSTEM_ROLES["user"])
    assert rules.beyond(user, ["read", "write"]) is None
    assert rules.beyond(user, ["read", "admin"]) == "admin"
    assert rules.beyond(user, ["users:manage"]) == "users:manage"
    assert rules.beyond(Actor("u", "Ann", platform=SYSTEM_ROLES["admin"]), ["admin"]) is None


@pytest.mark.parametrize(
    ("ip", "allowed", "good"),
    [
        ("203.0.113.7", ["203.0.113.7"], True),
        ("203.0.113.8", ["203.0.113.7"], False),
        ("203.0.113.8", ["203.0.113.0/24"], True),
        ("::ffff:203.0.113.8", ["203.0.113.0/24"], True),
        ("2001:db8::1", ["203.0.113.0/24"], False),
        ("2001:db8::1", ["2001:db8::/32"], True),
        ("", ["203.0.113.7"], False),
        ("unix:", ["0.0.0.0/0"], False),
    ],
)
def test_addresses(ip: str, allowed: list[str], good: bool) -> None:
    assert rules.comes_from(ip, allowed) is good


def test_ranges_have_one_spelling() -> None:
    assert rules.normal_network(" 203.0.113.7/24 ") == "203.0.113.0/24"
    assert rules.normal_network("203.0.113.7") == "203.0.113.7"
    assert rules.normal_network("2001:DB8:0::/32") == "2001:db8::/32"
    for bad in ("", "example.com", "203.0.113.7/33", "203.0.113.7-9"):
        with pytest.raises(ValueError):
            rules.normal_network(bad)


@pytest.mark.parametrize(
    ("left", "life", "last", "due"),
    [
        (15 * DAY, 90 * DAY, None, None),
        (14 * DAY, 90 * DAY, None, 14),
        (10 * DAY, 90 * DAY, 14, None),
        (7 * DAY, 90 * DAY, 14, 7),
        (DAY / 2, 90 * DAY, 14, 1),  # the worker slept through the 7 days: one letter, not two
        (DAY / 2, 90 * DAY, 1, None),
        (6 * DAY, 7 * DAY, None, None),  # made for a week
        (DAY / 2, 7 * DAY, None, 1),
        (DAY / 2, DAY, None, None),
        (timedelta(0), 90 * DAY, 7, None),
    ],
)
def test_reminders(left: timedelta, life: timedelta, last: int | None, due: int | None) -> None:
    assert rules.reminder(left, life, last) == due


def test_days_without_use_are_filled_with_nothing() -> None:
    line = rules.by_day({date(2026, 3, 1): (4, 1)}, date(2026, 3, 2), 3)
    assert line == [
        {"date": "2026-02-28", "requests": 0, "errors": 0},
        {"date": "2026-03-01", "requests": 4, "errors": 1},
        {"date": "2026-03-02", "requests": 0, "errors": 0},
    ]


def test_width_is_compared_in_every_direction() -> None:
    end = datetime(2027, 1, 1, tzinfo=UTC)
    parent = Actor(
        "u", "Ann", cap=allowed_by(["read", "write"]), only_teams=frozenset({"t"}), only_projects=frozenset({"p", "q"})
    )
    narrow = rules.Width(allowed_by(["read"]), "t", frozenset({"p"}), end)
    assert narrow.fits(parent, end)
    wider = [
        rules.Width(allowed_by(["read", "deploy"]), "t", frozenset({"p"}), end),
        rules.Width(allowed_by(["read"]), None, frozenset({"p"}), end),
        rules.Width(allowed_by(["read"]), "u", frozenset({"p"}), end),
        rules.Width(allowed_by(["read"]), "t", frozenset(), end),
        rules.Width(allowed_by(["read"]), "t", frozenset({"p", "x"}), end),
        rules.Width(allowed_by(["read"]), "t", frozenset({"p"}), end + DAY),
        rules.Width(allowed_by(["read"]), "t", frozenset({"p"}), None),
    ]
    assert [one.fits(parent, end) for one in wider] == [False] * len(wider)
    assert wider[-1].fits(parent, None) and wider[0].fits(Actor("u", "Ann"), None)
