"""Every route against one table: who may use it. A route without an entry fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from devflow.core.access import OPEN, TEAM_ROLES, Permission
from devflow.web.api import operation_of
from tests.conftest import Join, Person, csrf

P = Permission
ANYBODY, SIGNED_IN = "anybody", "signed in"

PAGES: dict[str, str | Permission] = {
    "static": ANYBODY,
    "site.landing": ANYBODY,
    "site.docs": ANYBODY,
    "site.terms": ANYBODY,
    "site.privacy": ANYBODY,
    "accounts.login": ANYBODY,
    "accounts.signup": ANYBODY,
    "accounts.second_factor": ANYBODY,
    "accounts.confirm": P.ACCOUNT_MANAGE,
    "connections.confirm": P.ACCOUNT_MANAGE,
    "connections.connect": P.ACCOUNT_MANAGE,
    "connections.disconnect": P.ACCOUNT_MANAGE,
    "connections.github": P.ACCOUNT_READ,
    "factors.begin": P.ACCOUNT_MANAGE,
    "factors.renew_codes": P.ACCOUNT_MANAGE,
    "factors.setup": P.ACCOUNT_MANAGE,
    "factors.switch_off": P.ACCOUNT_MANAGE,
    "accounts.logout": SIGNED_IN,
    "team.switch": SIGNED_IN,
    "team.create": P.TEAMS_CREATE,
    "team.settings": P.MEMBERS_READ,
    "team.leave": P.ACCOUNT_MANAGE,
    "team.delete": P.TEAMS_DELETE,
    "teams.index": P.MEMBERS_READ,
    "teams.invite": P.MEMBERS_MANAGE,
    "teams.resend": P.MEMBERS_MANAGE,
    "teams.set_role": P.MEMBERS_MANAGE,
    "teams.remove": P.MEMBERS_MANAGE,
    "teams.accept": P.ACCOUNT_MANAGE,
    "teams.activity": P.TEAMS_READ,
    "invitations.show": ANYBODY,
    "invitations.accept": SIGNED_IN,
    "account.close_account": P.ACCOUNT_MANAGE,
    "settings.index": P.ACCOUNT_READ,
    "settings.preferences": P.ACCOUNT_MANAGE,
    "settings.end_session": P.ACCOUNT_MANAGE,
    "settings.end_other_sessions": P.ACCOUNT_MANAGE,
    "settings.security": P.ACCOUNT_MANAGE,
    "settings.notifications": P.ACCOUNT_READ,
    "settings.appearance": P.ACCOUNT_READ,
    "pictures.show": SIGNED_IN,
    "pictures.choose": P.ACCOUNT_MANAGE,
    "pictures.remove": P.ACCOUNT_MANAGE,
    "recovery.forgot": ANYBODY,
    "recovery.reset": ANYBODY,
    "recovery.verify": ANYBODY,
    "recovery.resend": P.ACCOUNT_MANAGE,
    "mail.index": P.PLATFORM_MANAGE,
    "mail.send_test": P.PLATFORM_MANAGE,
    "mail.send_again": P.PLATFORM_MANAGE,
    "mail.open_link": P.PLATFORM_MANAGE,
    "dashboard.index": P.PROJECTS_READ,
    "dashboard.palette": P.PROJECTS_READ,
    "projects.index": P.PROJECTS_READ,
    "projects.show": P.PROJECTS_READ,
    "projects.deploy": P.DEPLOYMENTS_CREATE,
    "projects.environment": P.PROJECTS_READ,
    "projects.delete_variable": P.PROJECTS_UPDATE,
    "projects.settings": P.PROJECTS_READ,
    "projects.delete": P.PROJECTS_DELETE,
    "deployments.index": P.DEPLOYMENTS_READ,
    "deployments.show": P.DEPLOYMENTS_READ,
    "deployments.log": P.DEPLOYMENTS_READ,
    "deployments.earlier": P.DEPLOYMENTS_READ,
    "deployments.cancel": P.DEPLOYMENTS_CANCEL,
    "deployments.redeploy": P.DEPLOYMENTS_CREATE,
    "deployments.rollback": P.DEPLOYMENTS_CREATE,
    "deployments.delete": P.DEPLOYMENTS_DELETE,
    "wizard.repository": P.PROJECTS_CREATE,
    "wizard.configure": P.PROJECTS_CREATE,
    "wizard.confirm": P.PROJECTS_CREATE,
    "wizard.name_free": SIGNED_IN,
    "tokens.index": P.TOKENS_READ,
    "tokens.show": P.TOKENS_READ,
    "tokens.create": P.TOKENS_MANAGE,
    "tokens.set_scopes": P.TOKENS_MANAGE,
    "tokens.rotate": P.TOKENS_MANAGE,
    "tokens.revoke": P.TOKENS_MANAGE,
    "service_accounts.index": P.MEMBERS_READ,
    "service_accounts.create": P.MEMBERS_MANAGE,
    "service_accounts.show": P.MEMBERS_READ,
    "service_accounts.change": P.MEMBERS_MANAGE,
    "service_accounts.switch": P.MEMBERS_MANAGE,
    "service_accounts.delete": P.MEMBERS_MANAGE,
    "service_accounts.create_token": P.MEMBERS_MANAGE,
    "audit.index": P.AUDIT_READ,
    "audit.mine": P.ACCOUNT_READ,
    "audit_admin.everything": P.PLATFORM_MANAGE,
    "audit_admin.verify": P.PLATFORM_MANAGE,
    "admin.index": P.PLATFORM_MANAGE,
    "users.index": P.USERS_READ,
    "users.show": P.USERS_READ,
    "users.set_role": P.USERS_PROMOTE,
    "users.set_active": P.USERS_MANAGE,
    "users.give": P.ROLES_ASSIGN,
    "users.withdraw": P.ROLES_ASSIGN,
    "roles.index": P.ROLES_READ,
    "roles.new": P.ROLES_MANAGE,
    "roles.show": P.ROLES_READ,
    "roles.delete": P.ROLES_MANAGE,
    "access.project": P.ROLES_ASSIGN,
    "access.withdraw": P.ROLES_ASSIGN,
    "access.team": P.ROLES_ASSIGN,
    "access.withdraw_in_team": P.ROLES_ASSIGN,
    "why.index": P.ACCOUNT_READ,
}
OUTSIDE_THE_PATTERN = {
    "api_openapi": ANYBODY,
    "plain_openapi": ANYBODY,
    "api.audit.export": P.AUDIT_READ,
    "plain.audit.export": P.AUDIT_READ,
    "health.info": ANYBODY,
    "health.info_v1": ANYBODY,
    **{f"health.{view}{prefix}": ANYBODY for view in ("health", "live", "ready") for prefix in ("", "_api", "_api_v1")},
    # sockets sign in like pages; tests/journeys has their stories
    **{f"{d}.deployment_sockets.{view}": SIGNED_IN for d in ("api", "plain") for view in ("log_stream", "list_stream")},
}
"""Downloads, sockets, health, documents: plain routes, each named here."""


SELF_MADE = {"static"}
"""Routes that Flask makes."""


def _rules(app: Flask) -> list[tuple[str, str, set[str]]]:
    found = []
    for rule in app.url_map.iter_rules():
        found.append((rule.endpoint, rule.rule, set(rule.methods or ()) - {"HEAD", "OPTIONS"}))
    return found


def _address(rule: str, things: dict[str, str]) -> str:
    path = rule.replace("<path:filename>", "app.css")
    for name, value in things.items():
        path = path.replace(f"<{name}>", value)
    assert "<" not in path, path
    return path


def test_every_route_says_who_may_use_it(app: Flask) -> None:
    unknown = [
        endpoint
        for endpoint, _, _ in _rules(app)
        if endpoint not in PAGES
        and endpoint not in OUTSIDE_THE_PATTERN
        and operation_of(app.view_functions[endpoint]) is None
    ]
    assert unknown == []
    gone = [endpoint for endpoint in PAGES if endpoint not in app.view_functions]
    assert gone == []


@pytest.fixture
def things(app: Flask, ann: Person) -> dict[str, str]:
    """A project and a deployment of Ann's, for the addresses."""
    project = ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git")
    deployment = ann.call("POST", f"/projects/{project['id']}/deploy", 201)
    return {
        "project_id": project["id"], "slug": project["slug"], "deployment_id": deployment["id"],
        "name": "KEY", "session_id": "none", "letter_id": "none", "token_id": "none",
        "member_id": "none", "invite_token": "none",
        "team_id": project["team_id"], "provider": "github",
        "account_id": "none", "user_id": "none", "role_id": "none", "grant_id": "none",
    }  # fmt: skip


def test_strangers_are_turned_away_everywhere(app: Flask, things: dict[str, str]) -> None:
    client = app.test_client()
    for endpoint, rule, methods in _rules(app):
        if PAGES.get(endpoint) == ANYBODY or endpoint in OUTSIDE_THE_PATTERN:
            continue
        operation = operation_of(app.view_functions[endpoint])
        if operation is not None and operation.calls.permission in OPEN:
            continue
        for method in methods:
            answer = client.open(_address(rule, things), method=method, data={"csrf_token": csrf(client)})
            if endpoint in PAGES:
                assert answer.status_code in (302, 303) and answer.location.startswith("/login"), (endpoint, method)
            else:
                assert answer.status_code == 401, (endpoint, method, answer.status_code)


def test_another_team_does_not_even_hear_that_it_exists(
    app: Flask, person: Callable[..., Person], things: dict[str, str], browser: Callable[[Person], FlaskClient]
) -> None:
    bob = person("Bob")
    client = browser(bob)
    token = csrf(client)
    for endpoint, rule, methods in _rules(app):
        if not {"<project_id>", "<slug>", "<deployment_id>"} & set(_words(rule)) or "sockets" in endpoint:
            continue
        for method in methods:
            if endpoint in PAGES:
                data = {"csrf_token": token, "variables": "A=1", "confirm": "shop"}
                answer = client.open(_address(rule, things), method=method, data=data)
            else:
                headers = {"Authorization": f"Bearer {bob.token}"}
                body = {"variables": {}, "target_deployment_id": things["deployment_id"]}
                answer = bob.client.open(_address(rule, things), method=method, json=body, headers=headers)
            assert answer.status_code == 404, (endpoint, method, answer.status_code)


def _words(rule: str) -> list[str]:
    return rule.split("/")


@pytest.mark.parametrize("role", ["viewer", "member", "admin", "owner"])
def test_a_role_may_do_exactly_what_the_table_says(
    app: Flask, ann: Person, person: Callable[..., Person], things: dict[str, str], role: str, join: Join
) -> None:
    bob = person("Bob")
    join(bob, ann.call("GET", f"/projects/{things['project_id']}")["team_id"], role)
    headers = {"Authorization": f"Bearer {bob.token}"}
    wrong = []
    for endpoint, rule, methods in _rules(app):
        operation = operation_of(app.view_functions[endpoint])
        scoped = {"<project_id>", "<deployment_id>"} & set(_words(rule))
        if operation is None or not scoped or not endpoint.startswith("api."):
            continue
        for method in methods:
            if method in ("DELETE",) and operation.calls.permission in TEAM_ROLES[role]:
                continue  # it would take away what the others are tried on
            body = {"variables": {}, "target_deployment_id": things["deployment_id"]}
            answer = bob.client.open(_address(rule, things), method=method, json=body, headers=headers)
            allowed = operation.calls.permission in TEAM_ROLES[role]
            refused = answer.status_code == 403
            if refused == allowed:
                wrong.append((endpoint, method, answer.status_code))
    assert wrong == []
