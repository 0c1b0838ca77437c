"""Accounts elsewhere (GitHub, Google, any OpenID Connect issuer): sign in with them, connect and disconnect them."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from sqlalchemy import select

from devflow.core.access import Actor, Permission
from devflow.core.clock import now
from devflow.core.crypto import digest, vault
from devflow.core.db import db
from devflow.core.errors import BadRequest, Conflict, Forbidden, NotFound, Unauthenticated, Unavailable
from devflow.core.settings import Settings
from devflow.core.use_case import query, use_case
from devflow.features.accounts.models import GithubConnection, User
from devflow.features.accounts.schemas.fields import email_address
from devflow.features.accounts.service import confirming, entering, factors, returning, telling
from devflow.features.accounts.service.entering import Keys, SignedIn
from devflow.features.accounts.service.guarding import Guard
from devflow.features.accounts.service.people import find
from devflow.features.audit import service as audit
from devflow.ports.oauth import Identity, OAuth, Trip

TITLES = {"github": "GitHub", "google": "Google", "oidc": "The sign-in service"}
COLUMNS = {"github": User.github_id, "google": User.google_id, "oidc": User.oidc_id}
TRIP_SECONDS = 600
"""How long somebody may stay at the provider."""
LOST = "This sign-in was not started here, or it took too long. Start again."
TAKEN = (
    "There is an account with this e-mail address already, and it is not certain that it is yours. "
    "Sign in to it with your password, then connect {title} in the settings."
)


@dataclass(frozen=True)
class Journey:
    """What we remember while somebody is at the provider; it travels sealed in `state`."""

    provider: str
    purpose: str
    nonce: str
    verifier: str
    began: float
    next: str = ""
    invite_token: str = ""
    user_id: str = ""


@dataclass(frozen=True)
class Departure:
    """Where to send the browser, and what has to come back."""

    authorization_url: str
    state: str


@dataclass(frozen=True)
class Arrival:
    """A finished sign-in."""

    signed_in: SignedIn
    is_new_user: bool


@dataclass(frozen=True)
class Visit:
    """What a sign-in brings along and meets: may strangers join, who counts tries, an invitation, a second factor."""

    sign_up: str
    guard: Guard
    invite_token: str = ""
    code: str | None = None


class Answer(Protocol):
    """What a provider sends back with the person."""

    code: str
    state: str


def callback(settings: Settings, provider: str) -> str:
    """Where a provider sends people back to; registered there."""
    told = getattr(settings, f"{provider}_callback_url", "")
    return told or f"{settings.public_url}/api/auth/{provider}/callback"


@query(Permission.SESSIONS_CREATE)
def start(actor: Actor, oauth: OAuth, provider: str, callback: str, **more: str) -> Departure:
    """Begin a sign-in. `next` and `invite_token` come back with it."""
    return _depart(oauth, provider, callback, Journey(provider, "enter", *_randoms(), time.time(), **more))


@query(Permission.ACCOUNT_MANAGE)
def start_confirming(actor: Actor, oauth: OAuth, provider: str, callback: str, **more: str) -> Departure:
    """Begin to prove that it is still the same person, by signing in at the provider again."""
    if getattr(find(actor.id), f"{provider}_id", None) is None:
        raise NotFound("This provider is not connected to your account.")
    journey = Journey(provider, "confirm", *_randoms(), time.time(), user_id=actor.id, **more)
    return _depart(oauth, provider, callback, journey)


@query(Permission.ACCOUNT_MANAGE)
def start_connecting(actor: Actor, oauth: OAuth, provider: str, callback: str, **more: str) -> Departure:
    """Begin to connect a provider with the actor's account. Raises Stale as `connect` does."""
    _may_connect(actor)
    journey = Journey(provider, "connect", *_randoms(), time.time(), user_id=actor.id, **more)
    return _depart(oauth, provider, callback, journey)


@use_case(Permission.ACCOUNT_MANAGE, fresh=True)
def _may_connect(actor: Actor) -> None:
    """Asked before the provider is, and in a transaction of its own: nobody waits for a provider with one open."""


def _randoms() -> tuple[str, str]:
    return secrets.token_urlsafe(24), secrets.token_urlsafe(48)


def _depart(oauth: OAuth, provider: str, callback: str, journey: Journey) -> Departure:
    state = vault().seal(json.dumps(asdict(journey), ensure_ascii=False))  # it has to fit into an address
    trip = Trip(callback, state, journey.nonce, journey.verifier)
    db.session.rollback()
    return Departure(oauth.start(provider, trip), state)


def journey_of(state: str, provider: str) -> Journey:
    """What was remembered under this state. Raises BadRequest when it is not ours, of another provider or too old."""
    try:
        journey = Journey(**json.loads(vault().open(state)))
    except (Unavailable, ValueError, TypeError) as error:
        raise BadRequest(LOST) from error
    if journey.provider != provider or not 0 <= time.time() - journey.began <= TRIP_SECONDS:
        raise BadRequest(LOST)
    return journey


def cancelled() -> Unauthenticated:
    """What is said when the person did not want to, at the provider."""
    text = "The sign-in was cancelled at the provider. Start again if you want to go on."
    return Unauthenticated(text, code="AUTHENTICATION_FAILED")


def identify(actor: Actor, oauth: OAuth, journey: Journey, answer: Answer, callback: str) -> Identity:
    """Who came back from the provider. Raises Unauthenticated when they said no there, BadRequest when it was
    somebody else who set out."""
    if journey.purpose != "enter" and journey.user_id != actor.id:
        raise BadRequest(LOST)
    if not answer.code:
        raise cancelled()
    db.session.rollback()  # nobody waits for the provider with a transaction open
    trip = Trip(callback, answer.state, journey.nonce, journey.verifier)
    return oauth.finish(journey.provider, trip, answer.code)


@query(Permission.SESSIONS_CREATE)
def enter(actor: Actor, who: Identity, keys: Keys, visit: Visit, seconds: int) -> Arrival:
    """Sign in as the account behind an identity: the connected one, the one with its address, or a new one.

    An account is found by its address only if the provider vouches for the address and it was verified here too:
    otherwise whoever signed up with a stranger's address first would share the account with its owner.
    Raises CodeNeeded where two-factor sign-in is on and no code came along.
    """
    found = _connected(who) or _of_address(who)
    if found is None:
        return Arrival(entering.enter(actor, _make(actor, who, visit), keys, seconds), True)
    if not find(found).is_active:
        raise Forbidden(entering.OFF)
    if factors.wanted(found):
        if not visit.code:
            raise factors.CodeNeeded(found)
        factors.check(actor, found, visit.code, visit.guard)
    _settle(actor, found, who)  # only now: whoever lacks the code has changed nothing
    return Arrival(entering.enter(actor, found, keys, seconds), False)


def _connected(who: Identity) -> str | None:
    return db.session.scalar(select(User.id).where(COLUMNS[who.provider] == who.subject))


def _address(who: Identity) -> str:
    try:
        return email_address(who.email)
    except ValueError as error:
        title = TITLES[who.provider]
        text = f"{title} does not tell your e-mail address. Allow it there, or sign up with an address and a password."
        raise Forbidden(text) from error


def _of_address(who: Identity) -> str | None:
    """The account with the address of this identity, if it may be entered by it; None when there is none yet."""
    user = db.session.scalar(select(User).where(User.email == _address(who)))
    if user is None:
        return None
    proved = who.email_verified and user.email_verified and not user.is_service
    if not proved or getattr(user, f"{who.provider}_id") is not None:
        raise Conflict(TAKEN.format(title=TITLES[who.provider]))
    return user.id


@use_case(Permission.SESSIONS_CREATE)
def _make(actor: Actor, who: Identity, visit: Visit) -> str:
    """A new account, connected from the start."""
    email = _address(who)
    invitation = visit.invite_token if who.email_verified else None
    wish = entering.Wish(visit.sign_up, invitation, hint=who.username or email)
    user = entering.new_account(
        actor, email, wish, name=who.name[:255] or email, avatar_url=who.avatar_url, email_verified=who.email_verified
    )
    _attach(entering.known(actor, user), user, who)
    return user.id


@use_case(Permission.SESSIONS_CREATE)
def _settle(actor: Actor, user_id: str, who: Identity) -> None:
    """Connect an account that was found by its address; keep the tokens of one that is connected already."""
    user = find(user_id)
    if getattr(user, f"{who.provider}_id") is None:
        _attach(entering.known(actor, user), user, who)
        telling.changed(actor, user, f"{TITLES[who.provider]} was connected as a way to sign in")
    else:
        _keep_tokens(user, who)


@query(Permission.ACCOUNT_MANAGE)
def connect_by_code(actor: Actor, oauth: OAuth, answer: Answer, callback: str) -> User:
    """Connect GitHub with what it gave to a program that had started with `start_connecting`."""
    _may_connect(actor)
    journey = journey_of(answer.state, "github")
    if journey.purpose != "connect":
        raise BadRequest(LOST)
    return connect(actor, identify(actor, oauth, journey, answer, callback))


@query(Permission.ACCOUNT_MANAGE)
def connect_by_token(actor: Actor, oauth: OAuth, token: str) -> User:
    """Connect GitHub with an access token that the person made there."""
    _may_connect(actor)
    return connect(actor, oauth.of_access_token("github", token))


def of_token(oauth: OAuth, provider: str, token: str) -> Identity:
    """Whose ID token this is."""
    db.session.rollback()  # nobody waits for the provider with a transaction open
    return oauth.of_id_token(provider, token)


@use_case(Permission.ACCOUNT_MANAGE, fresh=True)
def connect(actor: Actor, who: Identity) -> User:
    """Connect an account elsewhere with the actor's: from now on they can sign in with it."""
    owner = db.session.scalar(select(User.id).where(COLUMNS[who.provider] == who.subject))
    if owner not in (None, actor.id):
        raise Conflict("This account is connected with somebody else here. Disconnect it there first.")
    user = find(actor.id)
    _attach(actor, user, who)
    telling.changed(actor, user, f"{TITLES[who.provider]} was connected as a way to sign in")
    return user


def _attach(actor: Actor, user: User, who: Identity) -> None:
    column = f"{who.provider}_id"
    before = getattr(user, column)
    if who.provider == "github" and before not in (None, who.subject):
        returning.forget(user)  # another account there takes its place
        db.session.flush()
    setattr(user, column, who.subject)
    user.avatar_url = user.avatar_url or who.avatar_url
    _keep_tokens(user, who)
    if before != who.subject:
        name = who.username or who.email
        audit.record(actor, "account.connected", user, {"provider": [None, who.provider], "as": [None, name]})


def _keep_tokens(user: User, who: Identity) -> None:
    """GitHub's token is kept, sealed: repositories are listed and cloned with it."""
    if who.provider != "github":
        return
    row = db.session.scalar(select(GithubConnection).where(GithubConnection.user_id == user.id))
    if row is None:
        row = GithubConnection(user_id=user.id, connected_at=now())
        db.session.add(row)
    row.github_username = who.username
    row.github_access_token = vault().seal(who.access_token)
    row.github_refresh_token = vault().seal(who.refresh_token) if who.refresh_token else None
    row.token_expires_at = who.expires_at
    row.scopes = " ".join(who.scopes)


@use_case(Permission.ACCOUNT_MANAGE, fresh=True)
def disconnect(actor: Actor, provider: str) -> None:
    """Forget an account elsewhere and its tokens, unless it is the only way to sign in."""
    user = find(actor.id)
    if provider not in COLUMNS or getattr(user, f"{provider}_id") is None:
        raise NotFound("This provider is not connected to your account.")
    others = [name for name in COLUMNS if name != provider and getattr(user, f"{name}_id") is not None]
    if user.password_hash is None and not others:
        raise Conflict("This is your only way to sign in. Set a password or connect another provider first.")
    if provider == "github":
        returning.forget(user)
    setattr(user, f"{provider}_id", None)
    audit.record(actor, "account.disconnected", user, {"provider": [provider, None]})
    telling.changed(actor, user, f"{TITLES[provider]} was disconnected")


def forget_all(actor: Actor, user: User) -> None:
    """Disconnect every account elsewhere, in the running transaction."""
    returning.forget(user)
    for provider in COLUMNS:
        if getattr(user, f"{provider}_id") is not None:
            setattr(user, f"{provider}_id", None)
            audit.record(actor, "account.disconnected", user, {"provider": [provider, None]})


@query(Permission.ACCOUNT_READ)
def connections(actor: Actor) -> dict[str, Any]:
    """Which providers are connected: name -> what is known about it."""
    user = find(actor.id)
    github = db.session.scalar(select(GithubConnection).where(GithubConnection.user_id == user.id))
    found: dict[str, Any] = {name: True for name in COLUMNS if getattr(user, f"{name}_id") is not None}
    if github is not None:
        found["github"] = github
    return found


@query(Permission.ACCOUNT_READ)
def github(actor: Actor) -> GithubConnection | None:
    """The actor's GitHub connection."""
    return db.session.scalar(select(GithubConnection).where(GithubConnection.user_id == actor.id))


def finish(actor: Actor, journey: Journey, who: Identity) -> str:
    """What somebody signed in had set out for: connect the identity, or show who they are. Says what was done."""
    if journey.purpose == "confirm":
        confirmed_by(actor, who)
        return "Confirmed"
    connect(actor, who)
    return f"{TITLES[who.provider]} connected"


def github_avatar(row: GithubConnection) -> str | None:
    """The picture of a connected account, if the person uses it here too."""
    return find(row.user_id).avatar_url


@use_case(Permission.ACCOUNT_MANAGE)
def confirmed_by(actor: Actor, who: Identity) -> None:
    """The actor has signed in at their provider once more."""
    if getattr(find(actor.id), f"{who.provider}_id") != who.subject:
        text = "That is another account than the one you are signed in with."
        raise Unauthenticated(text, code="AUTHENTICATION_FAILED")
    confirming.proved(actor)


def binding(state: str) -> str:
    """What a browser keeps to show that it started the journey with this state."""
    return digest(f"state:{state}")[:32]
