"""Sign-in by GitHub, Google or an OpenID Connect issuer: for browsers a way there and back, for programs JSON."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, request, url_for

from devflow.core.access import Actor
from devflow.core.errors import (
    BadRequest,
    Conflict,
    DomainError,
    Forbidden,
    NotFound,
    Stale,
    Unauthenticated,
    Unavailable,
)
from devflow.core.settings import Settings
from devflow.features.accounts.schemas.oauth import (
    ArrivalOut,
    CallbackQuery,
    DepartureOut,
    GithubConnectIn,
    GithubConnectionOut,
    GithubConnectOut,
    GoogleTokenIn,
    StartQuery,
)
from devflow.features.accounts.service import entering, factors, linking
from devflow.features.accounts.service.guarding import DEVICE_SECONDS, Guard
from devflow.features.settings import service as platform
from devflow.ports.oauth import Identity, OAuth
from devflow.ports.tries import Tries
from devflow.web.api import ApiBlueprint, Said
from devflow.web.entrance import begin_half, came_back, device, keep_device, set_out
from devflow.web.identity import actor, anybody, sign_in, visitor
from devflow.web.limits import credentials
from devflow.web.pages import local_path
from devflow.web.ports import port

bp = ApiBlueprint("oauth", __name__)
github = ApiBlueprint("github", __name__)
SECURITY = "/settings/security"
START = {"calls": linking.start, "moves": True, "raises": (Unavailable,)}
REFUSALS = (BadRequest, Unauthenticated, Forbidden, Conflict, Unavailable)
BACK = {"calls": linking.enter, "moves": True, "raises": REFUSALS}


@bp.get("/auth/github", **START)
def github_start(query: StartQuery) -> DepartureOut:
    """To GitHub (302), or with `Accept: application/json` the address to go to."""
    return _start("github", query)


@bp.get("/auth/google", **START)
def google_start(query: StartQuery) -> DepartureOut:
    """To Google (302), or with `Accept: application/json` the address to go to."""
    return _start("google", query)


@bp.get("/auth/oidc", **START)
def oidc_start(query: StartQuery) -> DepartureOut:
    """To the OpenID Connect issuer (302), or with `Accept: application/json` the address to go to."""
    return _start("oidc", query)


@bp.get("/auth/github/callback", **BACK)
def github_callback(query: CallbackQuery) -> ArrivalOut:
    """Back from GitHub: on to the dashboard (302), or with `Accept: application/json` the tokens."""
    return _back("github", query)


@bp.get("/auth/google/callback", **BACK)
def google_callback(query: CallbackQuery) -> ArrivalOut:
    """Back from Google: on to the dashboard (302), or with `Accept: application/json` the tokens."""
    return _back("google", query)


@bp.get("/auth/oidc/callback", **BACK)
def oidc_callback(query: CallbackQuery) -> ArrivalOut:
    """Back from the issuer: on to the dashboard (302), or with `Accept: application/json` the tokens."""
    return _back("oidc", query)


@bp.post("/auth/google", calls=linking.enter, raises=REFUSALS)
@credentials
def google_token(body: GoogleTokenIn) -> ArrivalOut:
    """Sign in with an ID token that Google gave to your own page."""
    who = linking.of_token(port(OAuth), "google", body.token)
    keys, visit = port(entering.Keys), _visit(invite_token=body.invite_token, code=body.code)
    return _told(linking.enter(anybody(), who, keys, visit, keys.refresh.seconds))


def _start(provider: str, query: StartQuery) -> Any:
    departure = linking.start(
        anybody(), port(OAuth), provider, _callback(provider), next=query.redirect, invite_token=query.invite_token
    )
    set_out(linking.binding(departure.state))
    return departure if _wants_json() else redirect(departure.authorization_url)


def _back(provider: str, query: CallbackQuery) -> Any:
    if _wants_json():
        return _told(_enter(*_arrived(provider, query), browser=False))
    try:
        return _land(provider, query)
    except factors.CodeNeeded as needed:
        begin_half(needed.user_id, remember=False)
        wanted = local_path(linking.journey_of(query.state, provider).next, "")
        return redirect(url_for("accounts.second_factor", next=wanted or None))
    except Stale:
        return redirect(url_for("accounts.confirm", next=SECURITY))
    except DomainError as error:
        flash(error.message, "error")
        return redirect(SECURITY if visitor() else url_for("accounts.login"))


def _land(provider: str, query: CallbackQuery) -> Any:
    """What a browser comes back to, by what it had set out for."""
    journey, who = _arrived(provider, query)
    if journey.purpose == "enter":
        signed_in = _enter(journey, who, browser=True).signed_in
        user = signed_in.user
        sign_in(signed_in.session.id, Actor(user.id, user.name, user.email), remember=False)
        flash(f"Welcome, {user.name}", "success")
    else:
        flash(linking.finish(actor(), journey, who), "success")
    return redirect(local_path(journey.next, url_for("dashboard.index")))


def _arrived(provider: str, query: CallbackQuery) -> tuple[linking.Journey, Identity]:
    """The way this browser had set out on, and who came back."""
    if query.error:
        raise linking.cancelled()
    journey = linking.journey_of(query.state, provider)
    if not came_back(linking.binding(query.state)):
        raise BadRequest(linking.LOST)
    return journey, linking.identify(anybody(), port(OAuth), journey, query, _callback(provider))


def _enter(journey: linking.Journey, who: Identity, *, browser: bool) -> linking.Arrival:
    keys = port(entering.Keys)
    seconds = keys.seconds(browser=browser, remember=False)
    visit = _visit(invite_token=journey.invite_token)
    arrival = linking.enter(anybody(), who, keys, visit, seconds)
    keep_device(visit.guard.remember(arrival.signed_in.user.id), DEVICE_SECONDS)
    return arrival


def _visit(invite_token: str, code: str | None = None) -> linking.Visit:
    sign_up = platform.current(port(Settings)).sign_up
    return linking.Visit(sign_up, Guard(port(Tries), device()), invite_token, code)


def _callback(provider: str) -> str:
    return linking.callback(port(Settings), provider)


def _wants_json() -> bool:
    return bool(request.accept_mimetypes.best == "application/json")


def _told(arrival: linking.Arrival) -> dict[str, Any]:
    signed_in = arrival.signed_in
    return {
        "access_token": signed_in.access_token, "refresh_token": signed_in.refresh_token,
        "expires_in": signed_in.expires_in, "user": signed_in.user, "is_new_user": arrival.is_new_user,
    }  # fmt: skip


@github.get("/github/connection", calls=linking.github)
def connection() -> GithubConnectionOut:
    """Whether and as whom GitHub is connected; its token is never answered."""
    row = linking.github(actor())
    if row is None:
        return {"connected": False}
    return {
        "connected": True, "github_username": row.github_username, "scopes": row.scopes.split(),
        "avatar_url": linking.github_avatar(row), "connected_at": row.connected_at,
        "token_expires_at": row.token_expires_at,
    }  # fmt: skip


github.alias("/github/connection-status", "connection")


@github.post(
    "/github/connect",
    calls=linking.start_connecting,
    raises=(BadRequest, Conflict, Forbidden, Stale, Unauthenticated, Unavailable),
)
def connect(body: GithubConnectIn) -> GithubConnectOut:
    """Without a body: the address at GitHub to go to. With code and state, or an access token: connects the account."""
    oauth, callback = port(OAuth), _callback("github")
    if not (body.access_token or body.code or body.state):
        departure = linking.start_connecting(actor(), oauth, "github", callback)
        set_out(linking.binding(departure.state))
        return {"connected": False, "authorization_url": departure.authorization_url, "state": departure.state}
    if body.access_token:
        linking.connect_by_token(actor(), oauth, body.access_token)
    else:
        linking.connect_by_code(actor(), oauth, body, callback)
    row = linking.github(actor())
    return {"connected": True, "github_username": row.github_username if row else None}


@github.delete("/github/disconnect", calls=linking.disconnect, raises=(Conflict, NotFound, Stale))
def disconnect() -> Said:
    """Forget the connection and its tokens."""
    linking.disconnect(actor(), "github")
    return Said({"connected": False}, "GitHub disconnected")
