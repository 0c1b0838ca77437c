"""Sign-in by others, end to end against providers that answer over a socket."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import oidc_provider_mock
import pyotp
import pytest
import requests
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import RSAKey
from sqlalchemy import select

from devflow.core.crypto import vault
from devflow.core.db import db
from devflow.features.accounts.models import GithubConnection, LoginSession, User
from devflow.features.accounts.service.entering import may_join
from tests.conftest import PASSWORD, Person, csrf
from tests.features.accounts.github_fixture import Github, GithubUser, running_github

JSON = {"Accept": "application/json"}
HTML = {"Accept": "text/html,application/xhtml+xml"}
GRACE = {"email": "grace@example.com", "email_verified": True, "name": "Grace Hopper"}


@pytest.fixture
def github() -> Iterator[Github]:
    with running_github() as server:
        yield server


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with oidc_provider_mock.run_server_in_thread() as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture
def settings(github: Github, issuer: str) -> dict[str, Any]:
    return {
        **github.settings(), "app_url": "http://localhost", "google_issuer": issuer, "google_client_id": "google-id",
        "google_client_secret": "s", "oidc_issuer": f"{issuer}/", "oidc_client_id": "oidc-id",
        "oidc_client_secret": "s", "oidc_name": "Acme",
    }  # fmt: skip


def local(location: str) -> str:
    """The address of a callback as the test client knows it."""
    parts = urlsplit(location)
    assert (parts.scheme, parts.netloc) == ("http", "localhost"), location
    return f"{parts.path}?{parts.query}"


def consent(authorization_url: str, **form: str) -> str:
    """Say yes (or no) on the provider's page; returns the callback it leads to."""
    answer = requests.post(authorization_url, data=form or {"yes": "1"}, allow_redirects=False, timeout=5)
    assert answer.status_code == 302, answer.text
    return local(answer.headers["Location"])


def claims_at(issuer: str, sub: str, **claims: Any) -> None:
    requests.put(f"{issuer}/users/{sub}", json=claims, timeout=5).raise_for_status()


def trip(client: FlaskClient, provider: str = "github", next: str = "", **form: str) -> Any:
    """The whole way there and back in a browser."""
    start = client.get(f"/api/auth/{provider}", query_string={"redirect": next}, headers=HTML)
    assert start.status_code == 302, start.text
    return client.get(consent(start.location, **form), headers=HTML)


def users(app: Flask) -> list[User]:
    with app.app_context():
        return list(db.session.scalars(select(User).order_by(User.id)))


def verified(app: Flask, who: Person) -> None:
    with app.app_context():
        db.session.get_one(User, who.id).email_verified = True
        db.session.commit()


def said(client: FlaskClient) -> str:
    return client.get("/login", follow_redirects=True).text


# GitHub


def test_the_first_one_to_come_by_github_is_the_administrator(app: Flask, github: Github) -> None:
    client = app.test_client()
    start = client.get("/api/auth/github", headers=HTML)
    asked = parse_qs(urlsplit(start.location).query)
    assert asked["scope"] == ["repo user:email"] and asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == ["http://localhost/api/auth/github/callback"]
    answer = client.get(consent(start.location), headers=HTML)
    assert answer.status_code == 302 and answer.location == "/dashboard"
    assert client.get("/dashboard").status_code == 200
    (user,) = users(app)
    assert (user.email, user.name, user.username) == ("octocat@example.com", "The Octocat", "octocat")
    assert user.role == "master_admin" and user.email_verified and user.password_hash is None
    with app.app_context():
        row = db.session.scalars(select(GithubConnection)).one()
        assert row.github_access_token not in github.tokens
        assert vault().open(row.github_access_token) in github.tokens
        assert row.scopes == "repo user:email"


def test_who_comes_again_is_the_same_account_whatever_the_address_is_now(app: Flask, github: Github) -> None:
    trip(app.test_client())
    github.user.emails = [{"email": "new@example.com", "primary": True, "verified": True}]
    assert trip(app.test_client()).location == "/dashboard"
    assert [user.email for user in users(app)] == ["octocat@example.com"]


def test_a_program_gets_json_there_and_back(app: Flask, github: Github) -> None:
    client = app.test_client()
    start = client.get("/api/v1/auth/github", headers=JSON).get_json()["data"]
    back = client.get(consent(start["authorization_url"]), headers=JSON)
    data = back.get_json()["data"]
    assert back.status_code == 200 and data["is_new_user"] is True and data["user"]["github_connected"] is True
    fresh = app.test_client()
    me = fresh.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {data['access_token']}"})
    assert me.get_json()["data"]["email"] == "octocat@example.com"
    again = client.get("/api/v1/auth/github", headers=JSON).get_json()["data"]
    assert client.get(consent(again["authorization_url"]), headers=JSON).get_json()["data"]["is_new_user"] is False


def test_a_verified_address_on_both_sides_is_the_same_person(app: Flask, ann: Person, github: Github) -> None:
    verified(app, ann)
    github.user.emails = [{"email": "Ann@Example.com", "primary": True, "verified": True}]
    assert trip(app.test_client()).location == "/dashboard"
    (user,) = users(app)
    assert user.id == ann.id and user.github_id == "583231" and user.password_hash is not None
    assert "account.connected" in [entry["action"] for entry in ann.call("GET", "/audit")]


@pytest.mark.parametrize(("here", "there"), [(True, False), (False, True), (False, False)])
def test_an_address_that_one_side_does_not_vouch_for_opens_nothing(
    app: Flask, ann: Person, github: Github, here: bool, there: bool
) -> None:
    if here:
        verified(app, ann)
    github.user.emails = [{"email": ann.email, "primary": True, "verified": there}]
    client = app.test_client()
    assert trip(client).location == "/login"
    assert "connect GitHub in the settings" in said(client)
    (user,) = users(app)
    assert user.github_id is None
    assert client.get("/dashboard").status_code == 302


def test_github_without_an_address_says_so(app: Flask, github: Github) -> None:
    github.user.emails = []
    client = app.test_client()
    assert trip(client).location == "/login" and users(app) == []
    assert "does not tell your e-mail address" in said(client)


def test_who_says_no_is_not_signed_in(app: Flask, github: Github) -> None:
    client = app.test_client()
    assert trip(client, no="1").location == "/login"
    assert "cancelled" in said(client) and users(app) == []
    start = client.get("/api/v1/auth/github", headers=JSON).get_json()["data"]
    answer = client.get(consent(start["authorization_url"], no="1"), headers=JSON)
    assert answer.status_code == 401 and answer.get_json()["error"]["code"] == "AUTHENTICATION_FAILED"


def test_a_callback_only_counts_in_the_browser_that_set_out(app: Flask, github: Github) -> None:
    attacker, victim = app.test_client(), app.test_client()
    start = attacker.get("/api/auth/github", headers=HTML)
    callback = consent(start.location)
    answer = victim.get(callback, headers=JSON)
    assert answer.status_code == 400 and answer.get_json()["error"]["code"] == "BAD_REQUEST"
    assert victim.get("/dashboard").status_code == 302 and users(app) == []
    assert "POST /login/oauth/access_token" not in github.asked  # the code was not even shown


@pytest.mark.parametrize("state", ["", "rubbish", "é", "gAAAAABnotours", "\x00"])
def test_a_wrong_state_is_refused(app: Flask, github: Github, state: str) -> None:
    answer = app.test_client().get(
        f"/api/auth/github/callback?{urlencode({'code': 'x', 'state': state})}", headers=JSON
    )
    assert answer.status_code in (400, 422), answer.text


def test_a_state_is_for_its_provider_only(app: Flask, github: Github) -> None:
    client = app.test_client()
    callback = consent(client.get("/api/auth/github", headers=HTML).location)
    assert client.get(callback.replace("github", "google"), headers=JSON).status_code == 400


def test_a_callback_counts_once(app: Flask, github: Github) -> None:
    client = app.test_client()
    callback = consent(client.get("/api/auth/github", headers=HTML).location)
    with_old_cookie = client.get_cookie("devflow")
    assert client.get(callback, headers=JSON).status_code == 200
    assert client.get(callback, headers=JSON).status_code == 400
    thief = app.test_client()
    thief.set_cookie("devflow", with_old_cookie.value if with_old_cookie else "")
    assert thief.get(callback, headers=JSON).status_code == 401  # the code itself works once
    assert len(users(app)) == 1


def test_who_stays_too_long_starts_again(app: Flask, github: Github) -> None:
    client = app.test_client()
    callback = consent(client.get("/api/auth/github", headers=HTML).location)
    with time_machine.travel(time.time() + 700):
        assert client.get(callback, headers=JSON).status_code == 400


@pytest.mark.parametrize(
    ("target", "lands"),
    [
        ("/projects?search=a", "/projects?search=a"),
        ("//evil.example", "/dashboard"),
        ("https://evil.example/", "/dashboard"),
        ("/\\evil.example", "/dashboard"),
        ("/\tevil", "/dashboard"),
        ("javascript:alert(1)", "/dashboard"),
    ],
)
def test_it_leads_on_to_paths_of_this_site_only(app: Flask, github: Github, target: str, lands: str) -> None:
    assert trip(app.test_client(), next=target).location == lands


def test_a_planted_cookie_is_worthless_after_the_sign_in(app: Flask, github: Github) -> None:
    client = app.test_client()
    client.get("/api/auth/github", headers=HTML)
    planted = client.get_cookie("devflow")
    assert planted is not None
    trip(client)
    attacker = app.test_client()
    attacker.set_cookie("devflow", planted.value)
    assert attacker.get("/dashboard").status_code == 302
    now = client.get_cookie("devflow")
    assert now is not None and now.value != planted.value


def test_a_provider_that_is_down_is_said_to_be(app: Flask, github: Github) -> None:
    client = app.test_client()
    callback = consent(client.get("/api/auth/github", headers=HTML).location)
    github.broken = True
    answer = client.get(callback, headers=JSON)
    assert answer.status_code == 503 and answer.get_json()["error"]["code"] == "EXTERNAL_SERVICE_ERROR"


def test_a_provider_that_cannot_be_reached_is_said_to_be(app: Flask, github: Github) -> None:
    with running_github() as other:
        gone = other.url
    assert gone != github.url
    port = urlsplit(gone).port
    app.extensions["devflow-ports"][type_of_oauth(app)]._github._url = f"http://127.0.0.1:{port}"
    client = app.test_client()
    start = client.get("/api/auth/github", headers=JSON).get_json()["data"]
    query = urlencode({"code": "x", "state": start["state"]})
    assert client.get(f"/api/auth/github/callback?{query}", headers=JSON).status_code == 503


def type_of_oauth(app: Flask) -> Any:
    return next(kind for kind in app.extensions["devflow-ports"] if kind.__name__ == "OAuth")


def test_a_wrong_client_secret_is_told(app: Flask, github: Github) -> None:
    github.secret = "changed at github"
    client = app.test_client()
    callback = consent(client.get("/api/auth/github", headers=HTML).location)
    assert client.get(callback, headers=JSON).status_code == 401


def test_closed_sign_up_holds_for_github_too_unless_invited(app: Flask, ann: Person, github: Github) -> None:
    with_cookie = app.test_client()
    form = {"email": ann.email, "password": PASSWORD, "csrf_token": csrf(with_cookie)}
    with_cookie.post("/login", data=form)
    with_cookie.post("/admin", data={"sign_up": "closed", "csrf_token": csrf_in(with_cookie, "/admin")})
    client = app.test_client()
    assert trip(client).location == "/login" and "Sign-up is closed" in said(client)
    may_join.register(invited)
    try:
        start = client.get("/api/auth/github?invite_token=wrong", headers=HTML)
        assert client.get(consent(start.location), headers=JSON).status_code == 403
        start = client.get("/api/auth/github?invite_token=golden", headers=HTML)
        assert client.get(consent(start.location), headers=JSON).status_code == 200
        github.user = GithubUser(
            2, "mallory", None, [{"email": "octo2@example.com", "primary": True, "verified": False}]
        )
        start = client.get("/api/auth/github?invite_token=golden", headers=HTML)
        assert client.get(consent(start.location), headers=JSON).status_code == 403  # nobody vouches for the address
    finally:
        may_join._checkers.remove(invited)


def invited(email: str, token: str) -> bool:
    return token == "golden" and email.startswith("octo")


def csrf_in(client: FlaskClient, path: str) -> str:
    page = client.get(path).text
    return page[page.index('name="csrf_token"') :].split('value="', 1)[1].split('"', 1)[0]


def test_who_is_switched_off_stays_out(app: Flask, ann: Person, github: Github) -> None:
    trip(app.test_client())
    with app.app_context():
        db.session.scalars(select(User).where(User.email == "octocat@example.com")).one().is_active = False
        db.session.commit()
    client = app.test_client()
    assert trip(client).location == "/login" and "switched off" in said(client)


def test_two_factor_holds_for_github_too(app: Flask, ann: Person, github: Github) -> None:
    codes = _switch_on(app, ann)
    verified(app, ann)
    github.user.emails = [{"email": ann.email, "primary": True, "verified": True}]
    client = app.test_client()
    assert trip(client, next="/projects").location == "/login/code?next=/projects"
    assert client.get("/dashboard").status_code == 302
    form = {"code": codes[0], "csrf_token": csrf(client)}
    assert client.post("/login/code?next=/projects", data=form).location == "/projects"


def _switch_on(app: Flask, who: Person) -> list[str]:
    secret = who.call("POST", "/auth/two-factor")["secret"]
    code = pyotp.TOTP(secret).now()
    codes: list[str] = who.call("POST", "/auth/two-factor/confirm", code=code)["recovery_codes"]
    return codes


# Connecting and disconnecting


def test_connect_in_the_settings_and_disconnect(
    app: Flask, ann: Person, github: Github, browser: Callable[[Person], FlaskClient]
) -> None:
    client = browser(ann)
    assert "Not connected" in client.get("/settings/github").text
    start = client.get("/settings/connections/github?next=/settings/github")
    assert start.status_code == 303
    assert client.get(consent(start.location), headers=HTML).location == "/settings/github"
    page = client.get("/settings/github").text
    assert "octocat" in page and not any(token in page for token in github.tokens)
    assert ann.call("GET", "/auth/me")["github_connected"] is True
    state = ann.call("GET", "/github/connection-status")
    assert state["connected"] is True and state["github_username"] == "octocat"
    assert state["scopes"] == ["repo", "user:email"]
    form = {"csrf_token": csrf_in(client, "/settings/github"), "confirm": "octocat", "back": "/settings/github"}
    assert client.post("/settings/connections/github/disconnect", data=form).location == "/settings/github"
    assert ann.call("GET", "/github/connection") == {
        "connected": False, "github_username": None, "avatar_url": None, "scopes": [], "connected_at": None,
        "token_expires_at": None,
    }  # fmt: skip
    assert ann.call("DELETE", "/github/disconnect", 404)["code"] == "RESOURCE_NOT_FOUND"


def test_the_last_way_in_is_never_taken(app: Flask, github: Github, issuer: str) -> None:
    client = app.test_client()
    start = client.get("/api/v1/auth/github", headers=JSON).get_json()["data"]
    data = client.get(consent(start["authorization_url"]), headers=JSON).get_json()["data"]
    who = Person(app.test_client(), data["user"]["id"], data["user"]["email"], data["access_token"])
    assert "only way to sign in" in who.call("DELETE", "/github/disconnect", 409)["message"]
    claims_at(issuer, "octo-google", email="other@example.com", email_verified=True)
    with app.app_context():
        db.session.get_one(User, who.id).google_id = "octo-google"
        db.session.commit()
    who.call("DELETE", "/github/disconnect")


def test_one_github_account_belongs_to_one_person(
    app: Flask, ann: Person, person: Callable[..., Person], github: Github
) -> None:
    github.tokens["ghp_own"] = github.user
    bob = person("Bob")
    assert ann.call("POST", "/github/connect", access_token="ghp_own")["github_username"] == "octocat"
    assert bob.call("POST", "/github/connect", 409, access_token="ghp_own")["code"] == "CONFLICT"
    assert bob.call("POST", "/github/connect", 401, access_token="ghp_wrong")["code"] == "AUTHENTICATION_FAILED"


def test_a_program_connects_by_code_and_only_for_itself(
    app: Flask, ann: Person, person: Callable[..., Person], github: Github
) -> None:
    bob = person("Bob")
    start = ann.call("POST", "/github/connect")
    answer = parse_qs(urlsplit(consent(start["authorization_url"])).query)
    sent = {"code": answer["code"][0], "state": answer["state"][0]}
    assert bob.call("POST", "/github/connect", 400, **sent)["code"] == "BAD_REQUEST"
    assert "POST /login/oauth/access_token" not in github.asked
    assert ann.call("POST", "/github/connect", **sent)["connected"] is True
    enter = app.test_client().get("/api/v1/auth/github", headers=JSON).get_json()["data"]
    answer = parse_qs(urlsplit(consent(enter["authorization_url"])).query)
    planted = {"code": answer["code"][0], "state": answer["state"][0]}
    assert bob.call("POST", "/github/connect", 400, **planted)["code"] == "BAD_REQUEST"


def test_who_has_no_password_confirms_at_the_provider(app: Flask, github: Github) -> None:
    client = app.test_client()
    trip(client)
    with app.app_context():
        row = db.session.scalars(select(LoginSession)).one()
        row.proved_at = row.proved_at.replace(year=2020)
        db.session.commit()
    to_confirm = client.get("/settings/connections/google")
    assert to_confirm.location.startswith("/confirm?next=/settings/connections/google")
    assert "Sign in with GitHub again" in client.get(to_confirm.location).text
    wanted = "/confirm/github?next=/settings/github"
    github.user, me = GithubUser(99, "mallory"), github.user
    assert client.get(consent(client.get(wanted).location), headers=HTML).location == "/settings/security"
    assert client.get("/settings/connections/google").location.startswith("/confirm")
    github.user = me
    assert client.get(consent(client.get(wanted).location), headers=HTML).location == "/settings/github"
    assert client.get("/settings/connections/google").status_code == 303
    assert not client.get("/settings/connections/google").location.startswith("/confirm")


def test_nobody_waits_for_a_provider_with_a_transaction_open(
    app: Flask, ann: Person, github: Github, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter, free = app.extensions["devflow-ports"][type_of_oauth(app)], []

    def watched(name: str) -> Any:
        real = getattr(adapter, name)

        def ask(*args: Any) -> Any:
            free.append((name, not db.session().in_transaction()))
            return real(*args)

        return ask

    for name in ("start", "finish", "of_access_token", "of_id_token"):
        monkeypatch.setattr(adapter, name, watched(name))
    start = ann.call("POST", "/github/connect")
    answer = parse_qs(urlsplit(consent(start["authorization_url"])).query)
    ann.call("POST", "/github/connect", code=answer["code"][0], state=answer["state"][0])
    github.tokens["ghp_own"] = github.user
    ann.call("POST", "/github/connect", access_token="ghp_own")
    ann.call("POST", "/auth/google", 401, token="rubbish")
    assert free == [("start", True), ("finish", True), ("of_access_token", True), ("of_id_token", True)]


# OpenID Connect


@pytest.mark.parametrize(("provider", "column"), [("google", "google_id"), ("oidc", "oidc_id")])
def test_an_openid_provider_signs_in(app: Flask, issuer: str, provider: str, column: str) -> None:
    claims_at(issuer, "grace", **GRACE)
    client = app.test_client()
    start = client.get(f"/api/auth/{provider}", headers=HTML)
    asked = parse_qs(urlsplit(start.location).query)
    assert asked["scope"] == ["openid profile email"] and asked["nonce"] and asked["code_challenge"]
    assert client.get(consent(start.location, sub="grace"), headers=HTML).location == "/dashboard"
    (user,) = users(app)
    assert user.email == "grace@example.com" and user.email_verified and getattr(user, column) == "grace"


def test_an_openid_provider_that_does_not_vouch_links_nothing(app: Flask, ann: Person, issuer: str) -> None:
    verified(app, ann)
    claims_at(issuer, "eve", email=ann.email, email_verified=False, name="Eve")
    client = app.test_client()
    assert trip(client, "google", sub="eve").location == "/login"
    claims_at(issuer, "eve2", email=ann.email, name="Eve")
    assert trip(client, "oidc", sub="eve2").location == "/login"
    assert [user.google_id or user.oidc_id for user in users(app)] == [None]


def test_saying_no_at_an_openid_provider(app: Flask, issuer: str) -> None:
    client = app.test_client()
    assert trip(client, "google", action="deny").location == "/login"
    assert "cancelled" in said(client)


def id_token(issuer: str, sub: str, client_id: str = "google-id") -> str:
    """An ID token as the issuer itself makes it."""
    asked = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": "http://x/cb",
        "scope": "openid profile email",
    }
    answer = requests.post(
        f"{issuer}/oauth2/authorize?{urlencode(asked)}", data={"sub": sub}, allow_redirects=False, timeout=5
    )
    code = parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": "http://x/cb"}
    token = requests.post(f"{issuer}/oauth2/token", data=form, auth=(client_id, "s"), timeout=5).json()
    return str(token["id_token"])


@pytest.mark.parametrize("field", ["token", "id_token", "idToken", "credential", "access_token"])
def test_a_page_of_ones_own_sends_googles_token(app: Flask, issuer: str, field: str) -> None:
    claims_at(issuer, "grace", **GRACE)
    answer = app.test_client().post("/api/v1/auth/google", json={field: id_token(issuer, "grace")})
    data = answer.get_json()["data"]
    assert answer.status_code == 200 and data["is_new_user"] is True and data["user"]["email"] == GRACE["email"]


def test_a_token_for_somebody_else_is_refused(app: Flask, issuer: str) -> None:
    claims_at(issuer, "grace", **GRACE)
    body = {"token": id_token(issuer, "grace", client_id="another app")}
    assert app.test_client().post("/api/v1/auth/google", json=body).status_code == 401


def test_an_expired_token_is_refused(app: Flask, issuer: str) -> None:
    claims_at(issuer, "grace", **GRACE)
    token = id_token(issuer, "grace")
    with time_machine.travel(time.time() + 3 * 3600):
        assert app.test_client().post("/api/v1/auth/google", json={"token": token}).status_code == 401


def by_hmac(header: dict[str, str], claims: dict[str, Any], key: bytes) -> str:
    head, body = (urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims))
    mark = urlsafe_b64encode(hmac.digest(key, head + b"." + body, "sha256")).rstrip(b"=")
    return b".".join([head, body, mark]).decode()


def test_forged_tokens_are_refused(app: Flask, issuer: str) -> None:
    now = int(time.time())
    claims = {"iss": issuer, "aud": "google-id", "sub": "grace", "exp": now + 600, "iat": now, **GRACE}
    own = RSAKey.generate_key(2048, {"kid": "own"})
    (public,) = requests.get(f"{issuer}/jwks", timeout=5).json()["keys"]
    pem = RSAKey.import_key(public).as_pem(private=False)
    signed = {"alg": "HS256", "kid": public["kid"]}
    head, body, _ = id_token(issuer, "grace").split(".")
    rubbish = [
        jwt.encode({"alg": "RS256", "kid": "own"}, claims, own),
        by_hmac(signed, claims, pem),  # the public key taken for a secret
        f"{head}.{body}.AAAA", f"eyJhbGciOiJub25lIn0.{body}.", "rubbish", "..", "é.é.é",
    ]  # fmt: skip
    for token in rubbish:
        answer = app.test_client().post("/api/v1/auth/google", json={"token": token})
        assert answer.status_code == 401, token
    assert app.test_client().post("/api/v1/auth/google", json={}).status_code == 422
    assert users(app) == []


# Nothing is set up

UNSET = pytest.mark.parametrize("settings", [{"app_url": "http://localhost", "github_client_id": "only half"}])


@UNSET
@pytest.mark.parametrize("provider", ["github", "google", "oidc"])
def test_what_is_not_set_up_has_no_button_and_names_its_variables(app: Flask, ann: Person, provider: str) -> None:
    client = app.test_client()
    for path in ("/login", "/signup"):
        assert "Continue with" not in client.get(path).text
    for headers in (JSON, HTML):
        answer = client.get(f"/api/v1/auth/{provider}", headers=headers)
        error = answer.get_json()["error"]
        assert answer.status_code == 503 and error["code"] == "EXTERNAL_SERVICE_ERROR"
        assert f"{provider.upper()}_CLIENT_SECRET" in error["message"]
    assert "GITHUB_CLIENT_ID" not in client.get("/api/auth/github").get_json()["error"]["message"]
    assert client.post("/api/v1/auth/google", json={"token": "x"}).status_code == 503
    assert ann.call("POST", "/github/connect", 503)["code"] == "EXTERNAL_SERVICE_ERROR"


@UNSET
def test_the_github_page_says_what_to_set(app: Flask, ann: Person, browser: Callable[[Person], FlaskClient]) -> None:
    page = browser(ann).get("/settings/github").text
    assert "GITHUB_CLIENT_SECRET" in page and "http://localhost/api/auth/github/callback" in page
    assert "Connect GitHub" not in page
