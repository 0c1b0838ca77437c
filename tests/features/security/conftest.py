"""People, a team, a project and roles, for tests of who may do what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask

from devflow.core.db import db
from devflow.features.accounts.models import User
from tests.conftest import Join, Person


@dataclass
class House:
    """Ann runs the platform. Tom owns a team with the project Shop: Ada is admin there, Vic viewer; Bob is outside."""

    app: Flask
    ann: Person
    tom: Person
    ada: Person
    vic: Person
    bob: Person
    team: str
    project: str
    other_project: str

    def role(self, name: str, *permissions: str) -> str:
        held = {"permissions": list(permissions)} if permissions else {}
        made = self.ann.call("POST", "/security/roles", 201, name=name, **held)
        return str(made["id"])

    def give(self, by: Person, whom: Person, role_id: str, expect: int = 200, **place: Any) -> Any:
        return by.call("POST", f"/security/users/{whom.id}/roles/{role_id}", expect, **place)

    def take(self, by: Person, whom: Person, role_id: str, expect: int = 200, query: str = "") -> Any:
        return by.call("DELETE", f"/security/users/{whom.id}/roles/{role_id}{query}", expect)

    def deploy(self, who: Person, expect: int, project: str = "") -> Any:
        return who.call("POST", f"/projects/{project or self.project}/deploy", expect)

    def why(self, by: Person, permission: str, expect: int = 200, **about: str) -> Any:
        asked = "&".join(f"{name}={value}" for name, value in about.items())
        return by.call("GET", f"/security/why?permission={permission}&{asked}", expect)

    def verify(self, who: Person) -> None:
        with self.app.app_context():
            user = db.session.get(User, who.id)
            assert user is not None
            user.email_verified = True
            db.session.commit()


@pytest.fixture
def house(app: Flask, ann: Person, person: Callable[..., Person], join: Join) -> House:
    tom, ada, vic, bob = (person(name) for name in ("Tom", "Ada", "Vic", "Bob"))
    project = tom.call("POST", "/projects", 201, repository_url="https://example.com/shop.git")
    other = tom.call("POST", "/projects", 201, repository_url="https://example.com/blog.git")
    join(ada, project["team_id"], "admin")
    join(vic, project["team_id"], "viewer")
    return House(app, ann, tom, ada, vic, bob, project["team_id"], project["id"], other["id"])
