"""Who is asking: a browser by its session cookie, a program by its bearer token.

Both end in one `Actor`. Which sessions and tokens are good is the accounts' business; they are asked through the two
functions given to `init_app`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Request, current_app, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user

from devflow.core.access import Actor, Permission, anonymous
from devflow.core.errors import Unauthenticated

Finder = Callable[[str, "Caller"], Actor | None]
_KEY = "devflow-identity"


class Caller:
    """Where a request comes from; goes into the audit."""

    def __init__(self, request: Request) -> None:
        self.ip = request.remote_addr or ""
        self.agent = (request.user_agent.string or "")[:300]
        self.request_id = str(getattr(g, "request_id", ""))


class Visitor(UserMixin):
    """What templates know as `current_user`."""

    def __init__(self, actor: Actor, key: str) -> None:
        self.actor = actor
        self.key = key

    @property
    def name(self) -> str:
        return self.actor.name

    @property
    def email(self) -> str:
        return self.actor.email

    def get_id(self) -> str:
        return self.key


def init_app(app: Flask, by_session: Finder, by_token: Finder) -> None:
    """Recognise visitors with these two finders."""
    app.extensions[_KEY] = (by_session, by_token)
    manager = LoginManager(app)
    manager.session_protection = None  # the session row is the protection; an address may change on the way
    manager.user_loader(_of_session)


def _of_session(key: str) -> Visitor | None:
    by_session: Finder = current_app.extensions[_KEY][0]
    return _visitor(by_session(key, Caller(request)), key)


def _of_token(token: str) -> Visitor | None:
    by_token: Finder = current_app.extensions[_KEY][1]
    return _visitor(by_token(token, Caller(request)), token)


def _visitor(actor: Actor | None, key: str) -> Visitor | None:
    return None if actor is None else Visitor(actor, key)


def bearer_token(asked: Request) -> str:
    """The token of an Authorization header, or of `?token=` where a browser can send no header: on a WebSocket."""
    scheme, _, token = asked.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return asked.args.get("token", "") if asked.headers.get("Upgrade", "").lower() == "websocket" else ""


def visitor() -> Visitor | None:
    """Who is signed in, if anybody. A bearer token wins over a cookie."""
    if token := bearer_token(request):
        if "visitor" not in g:
            g.visitor = _of_token(token)
        found: Visitor | None = g.visitor
        return found
    return current_user._get_current_object() if current_user.is_authenticated else None


def recognised() -> Actor | None:
    """Who is asking, as far as this request has found out by now. Looks nothing up, so it works when nothing does."""
    found = g.get("visitor") or g.get("_login_user")
    return found.actor if isinstance(found, Visitor) else None


def actor() -> Actor:
    """Who is asking. Raises Unauthenticated when nobody is signed in."""
    found = visitor()
    if found is None:
        if bearer_token(request):
            raise Unauthenticated("This token is not valid any more. Sign in again to get a new one.")
        raise Unauthenticated("Sign in first.")
    return found.actor


def anybody() -> Actor:
    """Who is asking, signed in or not."""
    found = visitor()
    if found is not None:
        return found.actor
    caller = Caller(request)
    return anonymous(caller.ip, caller.agent, caller.request_id)


def again(allowed: Callable[[Actor], object]) -> Callable[[], None]:
    """A guard for a connection that outlives its request: asks who this is by then, and whether they are `allowed`.

    It raises Unauthenticated when the session or token has ended, and whatever `allowed` raises.
    """
    token, caller = bearer_token(request), Caller(request)
    by_session, by_token = current_app.extensions[_KEY]
    find: Finder = by_token if token else by_session
    key = token or getattr(visitor(), "key", "")

    def ask() -> None:
        found = find(key, caller)
        if found is None:
            raise Unauthenticated("You are signed out. Sign in again.")
        allowed(found)

    return ask


def may(permission: Permission | str, thing: Any = None) -> bool:
    """For templates: would this be allowed to whoever is looking?"""
    found = visitor()
    return found is not None and found.actor.may(Permission(permission), thing)


def by_cookie() -> bool:
    """Was this request recognised by its cookie, so that it needs a CSRF token?"""
    return not bearer_token(request)


def sign_in(key: str, actor: Actor, *, remember: bool) -> None:
    """Start a browser session. The old cookie's content is dropped, so a planted one is worthless."""
    session.clear()
    session.permanent = remember
    login_user(Visitor(actor, key))


def sign_out() -> None:
    logout_user()
    session.clear()


def to_sign_in() -> ResponseReturnValue:
    """Send a browser to the sign-in page and remember where it wanted to go."""
    wanted = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for("accounts.login", next=wanted if wanted != "/" else None))


def to_confirm() -> ResponseReturnValue:
    """Send a browser to prove who it is; afterwards it comes back to the page whose form it had sent."""
    if request.method == "GET":
        wanted = request.full_path.rstrip("?")
    else:
        page = urlsplit(request.headers.get("Referer", ""))
        wanted = page.path if page.netloc == request.host else ""
    target = url_for("accounts.confirm", next=wanted or None)
    if request.headers.get("HX-Request") != "true":
        return redirect(target, 303)
    return "", 204, {"HX-Redirect": target}
