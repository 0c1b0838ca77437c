"""Sentences that tell a person what now: what a field accepts, who can allow something, what somebody did."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from devflow.core.access import Actor, Permission
from devflow.core.use_case import refusal
from devflow.features.accounts.schemas.entering import SignUpIn
from devflow.features.audit.rules.telling import sentence
from devflow.features.teams.schemas import TeamIn
from devflow.web.pages import field_errors

SOMEBODY = Actor(id="1", name="Bob")


def test_who_can_give_what_is_missing() -> None:
    assert "administrator of the team can give it" in refusal(SOMEBODY, Permission.PROJECTS_UPDATE).message
    assert "An administrator of this instance can give it" in refusal(SOMEBODY, Permission.USERS_READ).message


@pytest.mark.parametrize("slug", ["Big", "a b", "-a", "a-", "a\nb"])
def test_a_short_name_says_what_it_may_be_made_of(slug: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TeamIn(name="Team", slug=slug)
    assert field_errors(caught.value)["slug"] == ["Small letters, digits and hyphens, no hyphen first or last."]
    assert TeamIn(name="Team", slug="a-1").slug == "a-1"


def test_a_user_name_says_what_it_may_be_made_of_and_the_document_too() -> None:
    with pytest.raises(ValidationError) as caught:
        SignUpIn(email="a@example.com", password="correct horse", username="a b")
    assert field_errors(caught.value)["username"][0].startswith("Letters, digits, dots")
    told = SignUpIn.model_json_schema()["properties"]["username"]["anyOf"][0]
    assert told["pattern"] == r"^[A-Za-z0-9][A-Za-z0-9._-]*$" and told["maxLength"] == 64


def test_roles_in_a_team_are_told_as_pages_call_them() -> None:
    assert sentence("member.invited", "bob@example.com", {"role": [None, "member"]}) == (
        "invited bob@example.com as developer"
    )
