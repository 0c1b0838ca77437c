"""Connected sign-ins on the security page, and the page about GitHub."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask import redirect as go
from flask.typing import ResponseReturnValue

from devflow.core.errors import NotFound
from devflow.core.settings import Settings
from devflow.features.accounts.service import confirming, linking
from devflow.ports.oauth import OAuth
from devflow.web.entrance import set_out
from devflow.web.identity import actor
from devflow.web.pages import local_path, redirect, render
from devflow.web.ports import port

bp = Blueprint("connections", __name__)
SECURITY = "/settings/security"


def panel() -> dict[str, Any]:
    """What templates/settings/_connections.html shows: each provider that is set up here or connected."""
    ways, github = confirming.ways(actor()), linking.github(actor())
    usable = {known.name: known.title for known in port(OAuth).providers()}
    names = [name for name in linking.COLUMNS if name in usable or name in ways.providers]
    return {
        "connections": [
            {
                "name": name,
                "title": usable.get(name) or linking.TITLES[name],
                "usable": name in usable,
                "connected": name in ways.providers,
                "as": github.github_username if github and name == "github" else "",
                "only": ways.providers == (name,) and not ways.password,
            }
            for name in names
        ]
    }


@bp.get("/settings/github")
def github() -> ResponseReturnValue:
    """The GitHub connection, or what an administrator sets to make one possible."""
    row, oauth = linking.github(actor()), port(OAuth)
    return render(
        "settings/github.html",
        connection=row,
        only=panel_of("github")["only"],
        missing=oauth.missing("github"),
        callback=linking.callback(port(Settings), "github"),
        url=port(Settings).github_url,
    )


def panel_of(name: str) -> dict[str, Any]:
    """What is known about one provider."""
    return next((entry for entry in panel()["connections"] if entry["name"] == name), {"only": False})


@bp.get("/settings/connections/<provider>")
def connect(provider: str) -> ResponseReturnValue:
    """On to the provider, to connect it."""
    return _leave(linking.start_connecting, provider, SECURITY)


@bp.get("/confirm/<provider>")
def confirm(provider: str) -> ResponseReturnValue:
    """On to the provider, to prove who it is that sits here."""
    return _leave(linking.start_confirming, provider, url_for("dashboard.index"))


def _leave(start: Any, provider: str, otherwise: str) -> ResponseReturnValue:
    if provider not in linking.COLUMNS:
        raise NotFound("There is no such provider.")
    wanted = local_path(request.args.get("next"), otherwise)
    departure = start(actor(), port(OAuth), provider, linking.callback(port(Settings), provider), next=wanted)
    set_out(linking.binding(departure.state))
    return go(departure.authorization_url, 303)


@bp.post("/settings/connections/<provider>/disconnect")
def disconnect(provider: str) -> ResponseReturnValue:
    """Forget the connection and its tokens."""
    linking.disconnect(actor(), provider)
    back = local_path(request.form.get("back"), SECURITY)
    return redirect(back, f"{linking.TITLES.get(provider, 'It')} disconnected")
