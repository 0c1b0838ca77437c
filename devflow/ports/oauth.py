"""Signing in with an account somewhere else: GitHub (OAuth 2) and OpenID Connect issuers such as Google."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class Provider:
    """One that is set up here: `name` is github, google or oidc, `title` what its button calls it."""

    name: str
    title: str


@dataclass(frozen=True)
class Trip:
    """What belongs to one way to the provider and back; only who started it can finish it."""

    callback: str
    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True)
class Identity:
    """Who somebody is at the provider. `email` is empty when the provider tells none.

    The tokens are for acting there in their name; OpenID Connect providers give none that would be kept.
    """

    provider: str
    subject: str
    email: str
    email_verified: bool
    name: str
    username: str = ""
    avatar_url: str | None = None
    access_token: str = ""
    refresh_token: str = ""
    expires_at: datetime | None = None
    scopes: tuple[str, ...] = ()


class OAuth(Protocol):
    """Unless said otherwise methods raise Unavailable when the provider is not set up (naming the variables) or does
    not answer, and Unauthenticated when it does not accept what it is shown."""

    def providers(self) -> Sequence[Provider]:
        """Those that are set up, in the order of their buttons. Never raises."""
        ...

    def missing(self, name: str) -> Sequence[str]:
        """The variables to set before this provider can be used. Never raises."""
        ...

    def start(self, name: str, trip: Trip) -> str:
        """The address at the provider where the person says yes."""
        ...

    def finish(self, name: str, trip: Trip, code: str) -> Identity:
        """Who came back with this code."""
        ...

    def of_id_token(self, name: str, token: str) -> Identity:
        """Whose ID token this is: signed by the issuer, for us, not expired."""
        ...

    def of_access_token(self, name: str, token: str) -> Identity:
        """Whose access token this is (GitHub)."""
        ...

    def revoke(self, name: str, token: str) -> None:
        """Take back everything that the owner of this access token has granted us (GitHub); what is gone is gone."""
        ...
