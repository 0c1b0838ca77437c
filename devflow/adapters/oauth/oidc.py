"""OpenID Connect: Google, and any other issuer by its discovery document."""

from __future__ import annotations

import hmac
import time
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from devflow.adapters.oauth.wire import Client
from devflow.core.errors import Unauthenticated
from devflow.ports.oauth import Identity, Trip

SCOPE = "openid profile email"
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_KEPT = 3600.0
"""Seconds for which discovery and keys are remembered."""
_LEEWAY = 60
"""Seconds by which the clocks may differ."""
_PAUSE = 30.0
"""Seconds before keys are fetched again because a token names one that is not among them."""


class Issuer:
    """One issuer, as its discovery document describes it."""

    def __init__(self, name: str, title: str, issuer: str, client_id: str, secret: str) -> None:
        self._name = name
        self._issuer = issuer.rstrip("/")
        self._client = Client(title, client_id, secret, SCOPE, "client_secret_post")
        self._read: dict[str, tuple[float, Any]] = {}

    def start(self, trip: Trip) -> str:
        return self._client.authorization_url(self._endpoint("authorization_endpoint"), trip, nonce=trip.nonce)

    def finish(self, trip: Trip, code: str) -> Identity:
        token = self._client.exchange(self._endpoint("token_endpoint"), trip, code)
        claims = self._claims(str(token.get("id_token") or ""))
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), trip.nonce.encode()):
            raise self._client.refused()
        if not claims.get("email") and self._document().get("userinfo_endpoint"):
            more = self._client.get(self._endpoint("userinfo_endpoint"), str(token["access_token"]))
            if not isinstance(more, dict) or more.get("sub") != claims["sub"]:
                raise self._client.refused()
            claims = {**more, **claims}
        return self._identity(claims)

    def of_id_token(self, token: str) -> Identity:
        return self._identity(self._claims(token))

    def _identity(self, claims: dict[str, Any]) -> Identity:
        email = str(claims.get("email") or "")
        name = str(claims.get("name") or claims.get("preferred_username") or email.partition("@")[0])
        picture = claims.get("picture")
        return Identity(
            provider=self._name,
            subject=str(claims["sub"]),
            email=email,
            email_verified=claims.get("email_verified") in (True, "true"),
            name=name,
            username=str(claims.get("preferred_username") or ""),
            avatar_url=str(picture) if picture else None,
        )

    def _claims(self, token: str) -> dict[str, Any]:
        """The claims of an ID token that this issuer signed, for us, and that has not expired."""
        try:
            claims = jwt.decode(token, self._keys_for(token), algorithms=_ALGORITHMS).claims
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise self._client.refused() from error
        audience = claims.get("aud")
        ours = audience if isinstance(audience, list) else [audience]
        until, issued = claims.get("exp"), claims.get("iat", 0)
        moment = time.time()
        good = (
            claims.get("iss") in (self._document()["issuer"], self._document()["issuer"].removeprefix("https://"))
            and self._client.client_id in ours
            and (len(ours) == 1 or claims.get("azp") == self._client.client_id)
            and isinstance(until, int | float) and until > moment - _LEEWAY
            and isinstance(issued, int | float) and issued < moment + _LEEWAY
            and bool(claims.get("sub"))
        )  # fmt: skip
        if not good:
            raise self._client.refused()
        return dict(claims)

    def _keys_for(self, token: str) -> KeySet:
        """The issuer's keys; fetched again when the token names one that was not there a while ago."""
        keys = self._keys(_KEPT)
        kid = jws.extract_compact(token.encode()).headers().get("kid")
        return keys if not kid or any(key.kid == kid for key in keys.keys) else self._keys(_PAUSE)

    def _keys(self, at_most: float) -> KeySet:
        return KeySet.import_key_set(self._remembered(self._endpoint("jwks_uri"), at_most))

    def _endpoint(self, name: str) -> str:
        address = self._document().get(name)
        if not isinstance(address, str):
            raise self._client.away()
        return address

    def _document(self) -> dict[str, Any]:
        found = self._remembered(f"{self._issuer}/.well-known/openid-configuration", _KEPT)
        if not isinstance(found, dict) or str(found.get("issuer", "")).rstrip("/") != self._issuer:
            raise self._client.away()
        return found

    def _remembered(self, url: str, at_most: float) -> Any:
        read_at, content = self._read.get(url, (-_KEPT, None))
        if content is None or time.monotonic() - read_at > at_most:
            try:
                content = self._client.get(url)
            except Unauthenticated as error:
                raise self._client.away() from error
            self._read[url] = (time.monotonic(), content)
        return content
