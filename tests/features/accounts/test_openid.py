"""Sign-in by OpenID Connect, end to end against a provider that answers over a socket."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
import time_machine
from flask import Flask
from joserfc import jwt
from joserfc.jwk import RSAKey

from devflow.core.addresses import service_address
from devflow.core.db import db
from devflow.features.accounts.models import User
from tests.conftest import Person
from tests.features.accounts.oauth_trips import (
    GRACE,
    HTML,
    claims_at,
    consent,
    said,
    trip,
    users,
    verified,
)


@pytest.fixture
def settings(provided: dict[str, Any]) -> dict[str, Any]:
    return provided


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


def test_an_openid_provider_enters_no_service_account(app: Flask, ann: Person, issuer: str) -> None:
    machine = ann.call("POST", "/team/service-accounts", 201, name="Nightly")["id"]
    with app.app_context():
        db.session.get_one(User, machine).email_verified = True  # even so
        db.session.commit()
    for number, key in enumerate((machine, "nobody")):
        claims_at(issuer, f"eve{number}", email=service_address(key), email_verified=True, name="Eve")
        client = app.test_client()
        assert trip(client, "google", sub=f"eve{number}").location == "/login"
        token = {"token": id_token(issuer, f"eve{number}")}
        assert client.post("/api/v1/auth/google", json=token).status_code in (409, 422)
    assert {(user.name, user.google_id) for user in users(app)} == {("Ann", None), ("Nightly", None)}


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
