"""One way of asking a provider: with timeouts, never following redirects, and failures in our words."""

from __future__ import annotations

from typing import Any

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session

from devflow.core.errors import Unauthenticated, Unavailable
from devflow.ports.oauth import Trip

TIMEOUT = (3.05, 10.0)
"""Seconds to connect and to wait for an answer."""
REFUSED = "{title} does not accept this sign-in any more. Start again."


class Client:
    """The client of one provider."""

    def __init__(self, title: str, client_id: str, secret: str, scope: str, method: str) -> None:
        self.title = title
        self.client_id = client_id
        self._secret = secret
        self._scope = scope
        self._method = method

    def authorization_url(self, endpoint: str, trip: Trip, **more: str) -> str:
        """Where the person says yes, with state and PKCE."""
        session = self._session(trip)
        url, _state = session.create_authorization_url(endpoint, state=trip.state, code_verifier=trip.verifier, **more)
        return str(url)

    def exchange(self, endpoint: str, trip: Trip, code: str) -> dict[str, Any]:
        """The tokens for a code. Raises Unauthenticated when the provider refuses it."""
        session = self._session(trip)
        try:
            token = session.fetch_token(
                endpoint, code=code, code_verifier=trip.verifier, timeout=TIMEOUT, allow_redirects=False,
                headers={"Accept": "application/json"},
            )  # fmt: skip
        except AuthlibBaseError as error:
            raise self.refused() from error
        except (requests.RequestException, ValueError) as error:
            raise self.away() from error
        if not isinstance(token, dict) or not token.get("access_token"):
            raise self.refused()
        return dict(token)

    def get(self, url: str, token: str = "") -> Any:
        """JSON from the provider. Raises Unauthenticated when it does not accept the token, else Unavailable."""
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            answer = requests.get(url, headers=headers, timeout=TIMEOUT, allow_redirects=False)
            if answer.status_code in (401, 403):
                raise self.refused()
            answer.raise_for_status()
            if answer.status_code != 200:
                raise self.away()
            return answer.json()
        except (requests.RequestException, ValueError) as error:
            raise self.away() from error

    def delete(self, url: str, body: dict[str, str]) -> None:
        """Ask, as the app itself, that something be gone; what is not there is gone. Raises as `get` does."""
        headers, ourselves = {"Accept": "application/json"}, (self.client_id, self._secret)
        try:
            answer = requests.delete(
                url, json=body, auth=ourselves, headers=headers, timeout=TIMEOUT, allow_redirects=False
            )
        except requests.RequestException as error:
            raise self.away() from error
        if answer.status_code in (401, 403):
            raise self.refused()
        if answer.status_code not in (204, 404, 422):
            raise self.away()

    def refused(self) -> Unauthenticated:
        return Unauthenticated(REFUSED.format(title=self.title), code="AUTHENTICATION_FAILED")

    def away(self) -> Unavailable:
        return Unavailable(
            f"{self.title} does not answer as it should. Try again in a moment.", code="EXTERNAL_SERVICE_ERROR"
        )

    def _session(self, trip: Trip) -> OAuth2Session:
        return OAuth2Session(
            self.client_id, self._secret, scope=self._scope, redirect_uri=trip.callback,
            code_challenge_method="S256", token_endpoint_auth_method=self._method,
        )  # fmt: skip
