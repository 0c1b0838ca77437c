"""Everybody who may come to a door: people by their roles, programs by their tokens, living and dead."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from flask import Flask
from flask.testing import FlaskClient

from devflow.core.access import OPEN, SCOPES, SYSTEM_ROLES, TEAM_ROLES, Permission
from devflow.core.clock import now
from devflow.core.crypto import digest
from devflow.core.db import db
from devflow.features.accounts.models import LoginSession, User
from devflow.features.accounts.rules import hash_password
from devflow.features.accounts.service.entering import Keys
from devflow.features.teams.models import Member, Team
from devflow.features.tokens.models import ApiToken, TokenValue
from devflow.features.tokens.rules import new_value
from tests.conftest import PASSWORD

ANYBODY, SIGNED_IN = "anybody", "signed in"
Asks = str | Permission
OF_ITSELF = {Permission.TOKENS_VERIFY}
"""What any token may, whatever its scopes: say whose it is, and end."""


@dataclass(frozen=True)
class Caller:
    """Somebody at the door. `team_role` is their role in the team whose things are asked for."""

    name: str
    system_role: str = "user"
    team_role: str = ""
    scopes: tuple[str, ...] | None = None
    alive: bool = True
    guest: frozenset[Permission] = frozenset()
    """What they may on the one project that was shared with them."""
    person: str = ""
    """Whose token it is, when it is one."""

    @property
    def platform(self) -> frozenset[Permission]:
        return SYSTEM_ROLES[self.system_role]

    @property
    def here(self) -> frozenset[Permission]:
        return self.platform | TEAM_ROLES.get(self.team_role, frozenset())

    @property
    def anywhere(self) -> frozenset[Permission]:
        """Everybody owns a team of their own."""
        return self.here | TEAM_ROLES["owner"]

    def capped(self, permission: Permission) -> bool:
        if self.scopes is None or permission in OF_ITSELF:
            return False
        return not any(permission in SCOPES[scope] for scope in self.scopes)


ANONYMOUS = Caller("anonymous", alive=False)
PEOPLE = (
    Caller("viewer", team_role="viewer"),
    Caller("developer", team_role="member"),
    Caller("team admin", team_role="admin"),
    Caller("owner", team_role="owner"),
    Caller("approver", "approver"),
    Caller("guest", guest=frozenset({Permission.PROJECTS_READ, Permission.DEPLOYMENTS_READ})),
    Caller("other owner"),
    Caller("admin", "admin"),
    Caller("master admin", "master_admin"),
)
PROGRAMS = (
    Caller("read token", team_role="owner", scopes=("read",), person="owner"),
    Caller("deploy token", team_role="owner", scopes=("deploy",), person="owner"),
    Caller("expired token", alive=False, scopes=("read",), person="owner"),
    Caller("revoked token", alive=False, scopes=("read",), person="owner"),
    Caller("rotated token", alive=False, scopes=("read",), person="owner"),
    Caller("switched off", alive=False),
)


def expected(asks: Asks, caller: Caller, *, placed: bool, owned: bool, owner: str, project: bool) -> str:
    """`open`, `ok`, `401`, `403` or `404`, by the table of permissions alone.

    `placed`: the route is about a thing of the team (`project`: of its project); `owned`: about something that is
    `owner`'s own.
    """
    if asks == ANYBODY or asks in OPEN:
        return "open"
    if not caller.alive:
        return "401"
    here = caller.here | (caller.guest if project else frozenset())
    if asks == SIGNED_IN:
        return "404" if placed and not here & TEAM_ROLES["owner"] else "ok"
    permission = Permission(asks)
    if permission not in caller.anywhere or caller.capped(permission):
        return "403"
    if owned:
        return "ok" if owner in (caller.name, caller.person) else "404"
    if placed and not here & TEAM_ROLES["owner"]:
        return "404"
    return "ok" if not placed or permission in here else "403"


@dataclass
class Door:
    """The app with everybody in it, as it was before each attempt."""

    app: Flask
    team_id: str
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    def knock(self, caller: Caller, method: str, address: str, body: Mapping[str, object], *, page: bool) -> str:
        """What the caller gets: `ok`, `401`, `403`, `404`, or the status if it is none a door should give."""
        client = self.app.test_client()
        if page:
            self._sign_in(client, caller)
            answer = client.open(address, method=method, data=body)
            away = answer.status_code in (302, 303) and "/login?next=" in f"{answer.location}?next="
            status = 401 if away and not (address == "/logout" and caller.alive) else answer.status_code
        else:
            headers = {**self.headers[caller.name], "X-Team-Id": self.team_id}
            answer = client.open(address, method=method, json=body, headers=headers)
            status = answer.status_code
        if status in (401, 403, 404):
            return str(status)
        return "ok" if status < 400 or status in (400, 409, 422, 503) else str(status)

    def _sign_in(self, client: FlaskClient, caller: Caller) -> None:
        if caller.name in self.sessions:
            with client.session_transaction() as cookie:
                cookie["_user_id"], cookie["_fresh"] = self.sessions[caller.name], True
                cookie["team"] = self.team_id


def populate(app: Flask, team_id: str) -> Door:
    """Make everybody, by rows: the doors that make them are what is being tried."""
    door = Door(app, team_id, {ANONYMOUS.name: {}})
    hashed = hash_password(PASSWORD, cost=4)
    keys: Keys = app.extensions["devflow-ports"][Keys]
    for caller in (*PEOPLE, next(one for one in PROGRAMS if one.name == "switched off")):
        name = caller.name.replace(" ", "-")
        user = User(name=caller.name, email=f"{name}@example.com", username=name, role=caller.system_role)
        user.is_active, user.email_verified, user.password_hash = caller.alive, True, hashed
        db.session.add(user)
        db.session.flush()
        own = Team(name=caller.name, slug=f"own-{name}", personal_of=user.id)
        db.session.add(own)
        db.session.flush()
        db.session.add(Member(team_id=own.id, user_id=user.id, email=user.email, role="owner"))
        if caller.team_role:
            db.session.add(Member(team_id=team_id, user_id=user.id, email=user.email, role=caller.team_role))
        session = LoginSession(user_id=user.id, token=digest(name), expires_at=now() + timedelta(hours=1))
        db.session.add(session)
        db.session.flush()
        door.ids[caller.name], door.sessions[caller.name] = user.id, session.id
        bearer = keys.access.sign(user.id, session.id, name)
        door.headers[caller.name] = {"Authorization": f"Bearer {bearer}"}
    for caller in PROGRAMS:
        if caller.person:
            door.headers[caller.name] = {"Authorization": f"Bearer {_token(door, caller)}"}
    db.session.commit()
    return door


def _token(door: Door, caller: Caller) -> str:
    value, moment = new_value(), now()
    token = ApiToken(
        user_id=door.ids[caller.person], name=caller.name, scopes=list(caller.scopes or ()),
        token_prefix=value[:8], last_four=value[-4:], expires_at=moment + timedelta(days=1),
    )  # fmt: skip
    if caller.name.startswith("expired"):
        token.expires_at = moment - timedelta(seconds=1)
    if caller.name.startswith("revoked"):
        token.revoked_at = moment
    db.session.add(token)
    db.session.flush()
    rotated = caller.name.startswith("rotated")
    db.session.add(TokenValue(digest=digest(value), token_id=token.id, until=moment if rotated else None))
    if rotated:
        db.session.add(TokenValue(digest=secrets.token_hex(32), token_id=token.id))
    door.ids[f"token of {caller.name}"] = token.id
    return value


def keeper(app: Flask) -> Callable[[], None]:
    """A function that puts the database back to how it is now, if anything has changed."""
    with app.app_context():
        db.session.remove()
        path = Path(str(db.engine.url.database))
    kept = sqlite3.connect(":memory:", check_same_thread=False)
    live = sqlite3.connect(path, check_same_thread=False)
    live.backup(kept)
    version = live.execute("pragma data_version").fetchone()

    def restore() -> None:
        nonlocal version
        if live.execute("pragma data_version").fetchone() != version:
            kept.backup(live)
            version = live.execute("pragma data_version").fetchone()

    return restore
