"""Everything a person changes through the API is one entry in the ledger, in the transaction that changes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import oidc_provider_mock
import pyotp
import pytest
from flask import Flask

from devflow.core.clock import now
from devflow.core.crypto import vault
from devflow.core.db import db
from devflow.features.accounts import rules
from devflow.features.accounts.models import SecondFactor, User
from devflow.features.accounts.service import mailed
from devflow.features.deployments.models import Deployment
from devflow.features.mail.models import Letter
from devflow.features.mail.service import contents
from devflow.features.teams.models import Member
from devflow.web.api import operation_of
from tests.conftest import PASSWORD, Join, Person
from tests.features.accounts.github_fixture import Github, running_github
from tests.features.accounts.oauth_trips import GRACE, claims_at
from tests.features.accounts.test_openid import id_token
from tests.features.audit.watching import watching
from tests.web.matrix import keeper

SECRET = rules.totp_secret()


@dataclass(frozen=True)
class Act:
    """One request, and how many entries it is worth; `first` are requests that make it possible. A body that would not
    last is made when it is sent."""

    does: str
    method: str
    path: str
    body: dict[str, Any] | Callable[[], dict[str, Any]]
    entries: int = 1
    first: tuple[tuple[str, str, dict[str, Any]], ...] = ()
    who: str = "ann"


def _acts(i: dict[str, str]) -> list[Act]:
    project, deployment, team = f"/projects/{i['project']}", f"/deployments/{i['deployment']}", f"/teams/{i['team']}"
    member, user = f"/team/members/{i['member']}", f"/users/{i['bob']}"
    role, token, invited = f"/security/roles/{i['role']}", f"/dev/tokens/{i['token']}", i["invited"]
    given = f"/security/users/{i['bob']}/roles/{i['role']}"
    shared = {"email": "bob@example.com", "role_id": i["role"], "project_id": i["project"]}
    cancel = (("POST", f"{deployment}/cancel", {}),)
    sign_in = {"email": "ann@example.com", "password": PASSWORD}
    return [
        Act("create", "POST", "/projects", {"repository_url": "https://example.com/new.git", "name": "New"}),
        Act("update", "PATCH", project, {"branch": "next", "token": "s3cret", "environment_variables": {"A": "v4lue"}}),
        Act("update", "PATCH", project, {"branch": "main"}, entries=0),
        Act("set_variables", "PUT", f"{project}/variables", {"variables": {"KEY": "v4lue"}}),
        Act("delete", "DELETE", project, {"force": True}, first=cancel),
        Act("deploy", "POST", f"{project}/deploy", {}, first=cancel),
        Act("create", "POST", "/deployments", {"project_id": i["project"]}, first=cancel),
        Act("cancel", "POST", f"{deployment}/cancel", {}),
        Act("delete", "DELETE", deployment, {}, first=cancel),
        Act("create", "POST", "/teams", {"name": "Another"}),
        Act("change", "PATCH", team, {"name": "Renamed"}),
        Act("delete", "DELETE", team, {"confirm": "Crew"}, entries=2),
        Act("leave", "POST", f"{team}/leave", {}, who="bob"),
        Act("invite", "POST", "/team/members", {"email": "new@example.com", "role": "viewer", "team_id": i["team"]}),
        Act("resend", "POST", f"/team/invitations/{invited}/resend", {}),
        Act("set_role", "PATCH", f"{member}/role", {"role": "admin"}),
        Act("set_role", "PATCH", f"{member}/role", {"role": "member"}, entries=0),
        Act("remove", "DELETE", member, {}),
        Act("create", "POST", "/dev/tokens", {"name": "ci"}),
        Act("rotate", "PATCH", f"{token}/rotate", {}),
        Act("set_scopes", "PATCH", f"{token}/scopes", {"scopes": ["read", "deploy"]}),
        Act("revoke", "DELETE", token, {}),
        Act("issue", "POST", "/auth/token", {**sign_in, "token_name": "laptop"}),
        Act("revoke_own", "DELETE", "/auth/token", {}),
        *_acts_of_service_accounts(i),
        Act("create", "POST", "/security/roles", {"name": "Looker", "permissions": ["projects:read"]}),
        Act("update", "PATCH", role, {"description": "For those who look."}),
        Act("set_permissions", "POST", f"{role}/permissions", {"permissions": ["teams:read"]}),
        Act("delete", "DELETE", role, {}),
        Act("assign", "POST", given, {}),
        Act("assign", "POST", given, {}, entries=0, first=(("POST", given, {}),)),
        Act("unassign", "DELETE", given, {}, first=(("POST", given, {}),)),
        Act("share", "POST", "/security/access", shared),
        Act("set_active", "PATCH", user, {"is_active": False}),
        Act("set_role", "PUT", f"{user}/role", {"role": "admin"}),
        Act("register", "POST", "/auth/register", {"name": "N", "email": "n@example.com", "password": PASSWORD}),
        Act("login", "POST", "/auth/login", sign_in),
        Act("logout", "POST", "/auth/logout", {}),
        Act("update", "PATCH", "/users/me", {"name": "Anna"}),
        Act("set_preferences", "PUT", "/user/preferences", {"theme": "dark"}),
        Act("set_preferences", "PUT", "/user/preferences", {}, entries=0),
        Act("change_password", "POST", "/auth/change-password",
            {"current_password": PASSWORD, "new_password": "another long one"}),
        Act("forgot_password", "POST", "/auth/forgot-password", {"email": "bob@example.com"}, entries=0),
        Act("confirm", "POST", "/auth/confirm", {"password": PASSWORD}),
        Act("end_session", "DELETE", f"/auth/sessions/{i['session']}", {}),
        Act("begin", "POST", "/auth/two-factor", {}),
        Act("send_test", "POST", "/mail/test", {}),
        Act("open_link", "POST", f"/mail/letters/{i['letter']}/link", {}),
        Act("withdraw", "DELETE", f"/security/access/{i['grant']}?project_id={i['project']}", {}),
        Act("close_account", "DELETE", "/user/account", {"email": "bob@example.com", "confirm": "bob@example.com",
            "password": PASSWORD}, entries=2, who="bob"),  # the account, and its own team
        *_acts_by_link(i), *_acts_with_a_second_factor(), *_acts_at_a_provider(i),
        Act("redeploy", "POST", f"{deployment}/redeploy", {}, first=cancel),
        Act("roll_back", "POST", f"{project}/rollback", {"target_deployment_id": i["deployment"]}, first=cancel),
        Act("refresh", "POST", "/auth/refresh", {"refresh_token": i["refresh"]}, entries=0),
    ]  # fmt: skip


def _acts_of_service_accounts(i: dict[str, str]) -> list[Act]:
    accounts = "/team/service-accounts"
    one = f"{accounts}/{i['account']}"
    return [
        Act("create", "POST", accounts, {"name": "Nightly", "team_id": i["team"]}),
        Act("change", "PATCH", one, {"role": "viewer"}),
        Act("change", "PATCH", one, {"is_active": False}),
        Act("change", "PATCH", one, {"role": "member"}, entries=0),
        Act("create_token", "POST", f"{one}/tokens", {"name": "ci"}),
        Act("rotate", "PATCH", f"/dev/tokens/{i['account_token']}/rotate", {}),
        Act("delete", "DELETE", one, {}),
    ]


def _acts_by_link(i: dict[str, str]) -> list[Act]:
    return [
        Act("accept", "POST", f"/team/invitations/{i['invitation']}/accept", {}, who="eve"),
        Act("verify_email", "POST", "/auth/verify-email", {"token": i["verify"]}),
        Act("reset_password", "POST", "/auth/reset-password", {"token": i["reset"], "password": "another long one"}),
        Act("resend_verification", "POST", "/auth/resend-verification", {}, who="eve"),
        Act("send_again", "POST", f"/mail/letters/{i['failed_letter']}/send", {}),
    ]


def _acts_with_a_second_factor() -> list[Act]:
    return [
        Act("confirm_factor", "POST", "/auth/two-factor/confirm", _code, who="eve"),
        Act("switch_off", "DELETE", "/auth/two-factor", _code, who="fay"),
        Act("renew_codes", "POST", "/auth/two-factor/recovery-codes", {}, who="fay"),
    ]


def _code() -> dict[str, Any]:
    return {"code": pyotp.TOTP(SECRET).now()}


def _acts_at_a_provider(i: dict[str, str]) -> list[Act]:
    connect = ("POST", "/github/connect", {"access_token": "gho_ann"})
    return [
        Act("connect", *connect),
        Act("disconnect", "DELETE", "/github/disconnect", {}, first=(connect,)),
        Act("google_token", "POST", "/auth/google", {"token": i["id_token"]}, entries=3),  # made, connected, signed in
    ]


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """What stands for Google."""
    with oidc_provider_mock.run_server_in_thread() as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture
def github() -> Iterator[Github]:
    with running_github() as server:
        server.tokens["gho_ann"] = server.user
        yield server


@pytest.fixture
def settings(github: Github, issuer: str) -> dict[str, Any]:
    limits = ("sensitive_limit_per_minute", "token_creations_per_minute", "token_limit_per_hour")
    google = {"google_issuer": issuer, "google_client_id": "google-id", "google_client_secret": "s"}
    return {**dict.fromkeys(limits, 1_000_000), **github.settings(), **google, "app_url": "http://localhost"}


@pytest.fixture
def known(app: Flask, ann: Person, person: Callable[..., Person], join: Join, issuer: str) -> dict[str, Any]:
    """A world with one of everything: its people, and the ids of its things."""
    bob = person("Bob")
    team = ann.call("POST", "/teams", 201, name="Crew")["id"]
    join(bob, team, "member")
    project = ann.call("POST", "/projects", 201, repository_url="https://example.com/shop.git", name="shop")["id"]
    role = ann.call("POST", "/security/roles", 201, name="Helper", permissions=["projects:read"])["id"]
    invited = ann.call("POST", "/team/members", 201, email="eve@example.com", role="viewer", team_id=team)["id"]
    with app.app_context():
        member = db.session.scalar(db.select(Member.id).where(Member.team_id == team, Member.user_id == bob.id))
        db.session.remove()
    carl = person("Carl")
    grant = ann.call("POST", "/security/access", 201, email=carl.email, role_id=role, project_id=project)
    account = ann.call("POST", "/team/service-accounts", 201, name="Pipeline", team_id=team)["id"]
    made = ann.call("POST", f"/team/service-accounts/{account}/tokens", 201, name="ci")
    login = {"email": ann.email, "password": PASSWORD}
    signed_in = ann.client.post("/api/v1/auth/login", json=login).get_json()["data"]
    eve, fay = person("Eve"), person("Fay")
    claims_at(issuer, "grace", **GRACE)
    ids = {
        "refresh": signed_in["refresh_token"], "id_token": id_token(issuer, "grace"),
        "grant": grant["id"], "letter": ann.call("GET", "/mail/letters")[0]["id"],
        "session": ann.call("GET", "/auth/sessions")[0]["id"],
        "account": account, "account_token": made["id"],
        "team": team, "project": project, "role": role, "invited": invited, "member": str(member), "bob": bob.id,
        "token": ann.call("POST", "/dev/tokens", 201, name="mine", scopes=["read"])["id"],
        "deployment": ann.call("POST", f"/projects/{project}/deploy", 201)["id"],
    }  # fmt: skip
    return {"ann": ann, "bob": bob, "eve": eve, "fay": fay, "ids": {**ids, **_prepared(app, eve, fay, ids)}}


def _prepared(app: Flask, eve: Person, fay: Person, ids: dict[str, str]) -> dict[str, str]:
    """What takes a letter, an authenticator or a release to come about."""
    with app.app_context():
        sealed = vault().seal(SECRET)
        db.session.add_all([
            SecondFactor(user_id=eve.id, secret=sealed),
            SecondFactor(user_id=fay.id, secret=sealed, confirmed_at=now()),
        ])  # fmt: skip
        reset, _row = mailed.make(db.session.get_one(User, fay.id), mailed.RESET)
        released = db.session.get_one(Deployment, ids["deployment"])
        released.artifact, released.live_at = {"image": "sha256:0"}, now()
        kept = db.session.scalars(db.select(Letter).order_by(Letter.id)).first()
        assert kept is not None
        kept.state = "failed"
        db.session.commit()
        return {
            "reset": reset, "failed_letter": kept.id, "verify": _mailed("verify_email", fay.email),
            "invitation": _mailed("invitation", eve.email),
        }  # fmt: skip


def _mailed(template: str, to: str) -> str:
    """The token of the link in a letter."""
    letter = db.session.scalars(db.select(Letter).where(Letter.template == template, Letter.to == to)).one()
    return re.sub(r".*[=/]", "", contents(letter, "").link)


def test_each_act_of_a_person_is_one_entry(app: Flask, known: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    restore, wrong = keeper(app), []
    for act in _acts(known["ids"]):
        restore()
        who: Person = known[act.who]
        headers = {"Authorization": f"Bearer {who.token}", "X-Team-Id": known["ids"]["team"]}
        for method, path, body in act.first:
            made = who.client.open(f"/api/v1{path}", method=method, json=body, headers=headers)
            assert made.status_code < 400, (act, made.text)
        sent = act.body() if callable(act.body) else act.body
        with watching(app, monkeypatch) as written:
            answer = who.client.open(f"/api/v1{act.path}", method=act.method, json=sent, headers=headers)
        if answer.status_code >= 400:
            wrong.append((act.does, act.path, answer.status_code, answer.text))
        elif written.entries != act.entries or written.unsaid or (act.entries == 0 and written.tables):
            wrong.append((act.does, act.path, written.entries, str(written.unsaid or written.tables)))
        said = _ledger(app)
        assert not any(secret in said for secret in ("s3cret", "v4lue", PASSWORD, SECRET, "gho_ann"))
    assert wrong == [], "\n".join(map(str, wrong))


def _ledger(app: Flask) -> str:
    with app.app_context():
        rows = str([tuple(row) for row in db.session.execute(db.text("select * from audit_logs"))])
        db.session.remove()
        return rows


def test_every_operation_that_changes_something_is_tried(app: Flask, known: dict[str, Any]) -> None:
    """A new one needs an act above."""
    doors = app.url_map.bind("localhost")
    tried = {doors.match(f"/api/v1{act.path.partition('?')[0]}", method=act.method)[0] for act in _acts(known["ids"])}
    left = set()
    for rule in app.url_map.iter_rules():
        operation = operation_of(app.view_functions[rule.endpoint])
        if operation is None or rule.endpoint.startswith("plain.") or not (rule.methods or set()) - {
            "GET", "HEAD", "OPTIONS",
        }:  # fmt: skip
            continue
        views = {endpoint for endpoint in tried if operation_of(app.view_functions[endpoint]) is operation}
        if not views:
            left.add(rule.endpoint)
    assert left == set()
