"""GitHub and GitHub Enterprise: OAuth 2, the profile and the addresses by the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from devflow.adapters.oauth.wire import Client
from devflow.core.clock import now
from devflow.ports.oauth import Identity, Trip

SCOPE = "repo user:email"


class GitHub:
    """One GitHub."""

    def __init__(self, url: str, api_url: str, client_id: str, secret: str) -> None:
        self._url = url.rstrip("/")
        self._api = api_url.rstrip("/")
        self._client = Client("GitHub", client_id, secret, SCOPE, "client_secret_post")

    def start(self, trip: Trip) -> str:
        return self._client.authorization_url(f"{self._url}/login/oauth/authorize", trip)

    def finish(self, trip: Trip, code: str) -> Identity:
        return self._whose(self._client.exchange(f"{self._url}/login/oauth/access_token", trip, code))

    def of_access_token(self, token: str) -> Identity:
        return self._whose({"access_token": token})

    def revoke(self, token: str) -> None:
        self._client.delete(f"{self._api}/applications/{self._client.client_id}/grant", {"access_token": token})

    def _whose(self, token: dict[str, Any]) -> Identity:
        access = str(token["access_token"])
        profile = self._client.get(f"{self._api}/user", access)
        if not isinstance(profile, dict) or not profile.get("id") or not profile.get("login"):
            raise self._client.away()
        email, verified = _address(self._client.get(f"{self._api}/user/emails", access))
        seconds = token.get("expires_in")
        return Identity(
            provider="github",
            subject=str(profile["id"]),
            email=email,
            email_verified=verified,
            name=str(profile.get("name") or profile["login"]),
            username=str(profile["login"]),
            avatar_url=str(profile["avatar_url"]) if profile.get("avatar_url") else None,
            access_token=access,
            refresh_token=str(token.get("refresh_token") or ""),
            expires_at=now() + timedelta(seconds=int(seconds)) if seconds else None,
            scopes=tuple(str(token.get("scope") or "").replace(",", " ").split()),
        )


def _address(listed: Any) -> tuple[str, bool]:
    """The primary address and whether GitHub has verified it; a verified one is better than none."""
    entries = listed if isinstance(listed, list) else []
    known = [entry for entry in entries if isinstance(entry, dict) and entry.get("email")]
    known.sort(key=lambda entry: (entry.get("verified") is not True, entry.get("primary") is not True))
    return (str(known[0]["email"]), known[0].get("verified") is True) if known else ("", False)
