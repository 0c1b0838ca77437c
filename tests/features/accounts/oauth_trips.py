"""Ways to a provider and back, as tests of sign-in by others go them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from devflow.core.db import db
from devflow.features.accounts.models import User
from tests.conftest import Person

JSON = {"Accept": "application/json"}
HTML = {"Accept": "text/html,application/xhtml+xml"}
GRACE = {"email": "grace@example.com", "email_verified": True, "name": "Grace Hopper"}


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


def type_of_oauth(app: Flask) -> Any:
    return next(kind for kind in app.extensions["devflow-ports"] if kind.__name__ == "OAuth")


def csrf_in(client: FlaskClient, path: str) -> str:
    page = client.get(path).text
    return page[page.index('name="csrf_token"') :].split('value="', 1)[1].split('"', 1)[0]
