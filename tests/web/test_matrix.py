"""Every route with everybody who may come, against the one table of permissions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from flask import Flask

from devflow.core.access import Permission
from devflow.core.clock import now
from devflow.core.crypto import digest
from devflow.core.db import db
from devflow.features.accounts.models import User
from devflow.features.mail.models import Letter
from devflow.features.roles.models import Assignment, Role
from devflow.features.teams.models import Member, Team
from devflow.web.api import operation_of
from tests.conftest import PASSWORD
from tests.web.matrix import ANONYMOUS, ANYBODY, PEOPLE, PROGRAMS, Asks, Caller, Door, expected, keeper, populate
from tests.web.test_routes import OUTSIDE_THE_PATTERN, PAGES, SELF_MADE, things  # noqa: F401 (a fixture)

P = Permission
OF_THE_PROJECT = {"project_id", "slug", "deployment_id", "container_id"}
PLACED = OF_THE_PROJECT | {"team_id", "member_id", "account_id"}
"""Parts of an address that name a thing of the team."""
OWNED = {"token_id", "session_id"}
"""Parts of an address that name something of the owner's."""
OWNER, INVITED = "owner", "other owner"
ABOUT_A_TEAM = ("/team/", "/api/v1/team/", "/api/v1/security/access")
"""Addresses about the team that the request names beside them."""
CHANGES = {
    "projects.environment": P.PROJECTS_UPDATE,
    "projects.settings": P.PROJECTS_UPDATE,
    "team.settings": P.TEAMS_UPDATE,
    "roles.show": P.ROLES_MANAGE,
}
"""Pages whose form asks for more than looking at them."""
EVERYWHERE = ("/api/v1/security/users/", "/admin/")
"""Addresses about the whole platform: what somebody may in a team does not help."""
NOTHING_THERE = {
    "api.github.disconnect",
    "connections.disconnect",
    "connections.confirm",
    "api.access.unassign",
    "access.withdraw_in_team",
    "users.withdraw",
    "api.teams.leave",
    "pictures.show",
}
"""What is allowed but finds nothing of the caller's to act on."""
BODY: dict[str, object] = {
    "name": "New name", "email": "new@example.com", "full_name": "New", "role": "viewer", "scopes": ["read"],
    "permissions": ["projects:read"], "repository_url": "https://example.com/shop.git", "variables": {},
    "password": PASSWORD, "confirm": "shop",
}  # fmt: skip
BODIES: dict[str, dict[str, object]] = {
    "users.set_role": {"role": "approver"},
    "users.set_active": {"is_active": "1"},
    "api.users.set_role": {"role": "approver"},
    "api.access.share": {"email": "guest@example.com"},
}
"""Where a word of BODY means something else."""


@dataclass(frozen=True)
class Route:
    """One method of one address."""

    endpoint: str
    method: str
    rule: str
    asks: Asks
    page: bool

    @property
    def words(self) -> set[str]:
        return {word.strip("<>").split(":")[-1] for word in self.rule.split("/") if word.startswith("<")}


def routes(app: Flask) -> Iterator[Route]:
    """What there is, once: the second prefix answers through the same functions."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint in OUTSIDE_THE_PATTERN or rule.endpoint in SELF_MADE or rule.endpoint.startswith("plain."):
            continue
        operation = operation_of(app.view_functions[rule.endpoint])
        asks: Asks = operation.calls.permission if operation else PAGES[rule.endpoint]
        for method in sorted(set(rule.methods or ()) - {"HEAD", "OPTIONS"}):
            more = CHANGES.get(rule.endpoint, asks) if method == "POST" else asks
            yield Route(rule.endpoint, method, rule.rule, more, page=operation is None)


LIMITS = ("sensitive_limit_per_minute", "token_creations_per_minute", "token_limit_per_hour", "deployments_per_hour")


@pytest.fixture
def settings() -> dict[str, object]:
    return dict.fromkeys(LIMITS, 1_000_000)


@pytest.fixture
def door(app: Flask, things: dict[str, str]) -> Door:  # noqa: F811
    app.config["WTF_CSRF_METHODS"] = set()  # whether a form was opened here has tests of its own
    with app.app_context():
        team = str(db.session.scalar(db.select(Team.id).order_by(Team.id)))
        made = populate(app, team)
        made.ids.update(things, **_furnish(made, team, things["project_id"]))
    return made


def _furnish(door: Door, team_id: str, project_id: str) -> dict[str, str]:
    """Something real for every part of an address."""
    role = Role(name="reader", permissions=["projects:read", "deployments:read"])
    letter = Letter(to="new@example.com", template="test", subject="Test", state="kept")
    letter.expires_at = now() + timedelta(days=1)
    invited = Member(team_id=team_id, email="other-owner@example.com", role="viewer", status="pending")
    invited.digest, invited.expires_at = digest("the link"), now() + timedelta(days=1)
    db.session.add_all([role, letter, invited])
    db.session.flush()
    person = door.ids["guest"]
    grant = Assignment(user_id=person, role_id=role.id, scope="project", place=project_id, project_id=project_id)
    db.session.add(grant)
    machine = User(kind="service", name="shop", email="shop@service.invalid", username="machine")
    db.session.add(machine)
    db.session.flush()
    db.session.add(Member(team_id=team_id, user_id=machine.id, email=machine.email, role="viewer"))
    db.session.commit()
    return {
        "place": "", "team_id": team_id, "token_id": door.ids["token of read token"],
        "session_id": door.sessions[OWNER],
        "account_id": machine.id,
        "role_id": role.id, "letter_id": letter.id, "member_id": invited.id, "invite_token": "the link",
        "grant_id": grant.id, "user_id": door.ids[INVITED], "provider": "github",
    }  # fmt: skip


def address(route: Route, ids: dict[str, str]) -> str:
    path = route.rule
    for word in route.words:
        assert word in ids, f"{route.rule}: say in `things` what <{word}> is"
        path = path.replace(f"<{word}>", ids[word]).replace(f"<path:{word}>", ids[word])
    return f"{path}?project_id={ids['project_id']}" if path.startswith("/api/v1/security/access") else path


def hoped(route: Route, caller: Caller) -> str:
    """What the table says; a few addresses have a rule of their own."""
    placed = bool(route.words & PLACED) or route.rule.startswith(ABOUT_A_TEAM) or route.rule == "/deploy"
    owned = bool(route.words & OWNED)
    if route.page and not route.words & PLACED:
        placed = placed and bool(caller.team_role)  # a page about "the team" shows strangers their own
    project = bool(route.words & OF_THE_PROJECT) or route.rule.startswith("/api/v1/security/access")
    usual = expected(route.asks, caller, placed=placed, owned=owned, owner=OWNER, project=project)
    if usual not in ("ok", "404") and not (usual == "403" and route.rule.startswith(EVERYWHERE)):
        return usual
    if route.rule.endswith("/accept") and caller.name != INVITED:
        return "404" if "member_id" in route.words else "ok" if route.page else "403"
    if route.rule.endswith("/accept"):
        return "ok"
    if route.rule.endswith(("/audit-logs/<user_id>", "/v1/users/<user_id>")):
        return "ok" if caller.name == INVITED or P.AUDIT_READ in caller.platform else "404"
    if route.rule.startswith(EVERYWHERE) and P(route.asks) not in caller.platform:
        return "403"
    return usual


@pytest.mark.slow
def test_everybody_gets_from_every_route_what_the_table_says(
    app: Flask, door: Door, record_property: Callable[[str, object], None]
) -> None:
    restore, everybody = keeper(app), (ANONYMOUS, *PEOPLE, *PROGRAMS)
    lines, wrong = [], []
    for route in routes(app):
        cells = []
        body = BODY | {"target_deployment_id": door.ids["deployment_id"], "role_id": door.ids["role_id"]}
        body |= BODIES.get(route.endpoint, {})
        body |= {"project_id": door.ids["project_id"]} if route.endpoint == "api.access.share" else {}
        for caller in everybody:
            if route.page and caller.person:
                cells.append("")  # pages know no bearer
                continue
            restore()
            should = hoped(route, caller)
            got = door.knock(caller, route.method, address(route, door.ids), body, page=route.page)
            good = got == should or (should == "open" and got not in ("403", "500"))
            good = good or (should == "ok" and got == "404" and route.endpoint in NOTHING_THERE)
            cells.append(should if good else f"{got}, not {should}")
            if not good:
                wrong.append((route.endpoint, route.method, caller.name, got, should))
        lines.append(f"| {route.method} {route.rule} | {route.asks} | {' | '.join(cells)} |")
    head = f"| route | asks for | {' | '.join(caller.name for caller in everybody)} |"
    tried = sum(cell != "" for line in lines for cell in line.strip("| ").split(" | ")) - 2 * len(lines)
    counted = f"{len(lines)} routes × {len(everybody)} callers: {tried - len(wrong)} as expected, {len(wrong)} wrong"
    record_property("printed", "\n".join(["Who may do what", head, *lines, counted]))
    assert wrong == []


def test_the_table_of_permissions_itself_is_sound() -> None:
    """Roles grow: whoever is more may do everything that whoever is less may."""
    less: frozenset[Permission] = frozenset()
    for caller in PEOPLE[:4]:
        assert less <= caller.here
        less = caller.here
    assert PEOPLE[4].platform <= PEOPLE[6].platform < PEOPLE[7].platform
    assert ANYBODY not in {permission.value for permission in Permission}
