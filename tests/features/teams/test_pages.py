"""The members' page with more people than fit on it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from devflow.core.clock import now
from devflow.core.db import db
from devflow.features.teams.models import Member
from tests.conftest import Person

HTMX = {"HX-Request": "true"}


@pytest.fixture
def client(app: Flask, ann: Person, team: str, browser: Callable[[Person], FlaskClient]) -> FlaskClient:
    """A browser that looks at a team of one member with 120 open invitations."""
    with app.app_context():
        for number in range(120):
            db.session.add(
                Member(
                    team_id=team, email=f"guest-{number:03}@example.com", status="pending", invited_by_id=ann.id,
                    invited_at=now(), expires_at=now() + timedelta(days=7), digest=f"{number:064}",
                )
            )  # fmt: skip
        db.session.commit()
    opened = browser(ann)
    with opened.session_transaction() as session:
        session["team"] = team
    return opened


def shown(page: str) -> list[str]:
    return re.findall(r">(guest-\d+@example\.com)</p>", page)


def test_every_invitation_can_be_reached(client: FlaskClient) -> None:
    seen, address = [], "/team"
    while address:
        page = client.get(address).text
        seen += shown(page)
        ahead = re.search(r'href="(/team\?invited=\d+)"[^>]*>Next', page)
        address = ahead.group(1) if ahead else ""
    assert seen == [f"guest-{number:03}@example.com" for number in range(120)]
    assert "101–120 of 120 invitations" in page


def test_a_page_of_invitations_comes_as_a_part(client: FlaskClient) -> None:
    part = client.get("/team?invited=2&block=invitations", headers=HTMX).text
    assert part.lstrip().startswith("<section") and shown(part)[0] == "guest-050@example.com"
    assert 'aria-labelledby="h-members"' not in part


def test_a_page_beyond_the_last_leads_back(client: FlaskClient) -> None:
    page = client.get("/team?invited=9").text
    assert shown(page) == [] and "Nothing on this page" in page and ">Previous</a>" in page.replace("</svg>", ">")
