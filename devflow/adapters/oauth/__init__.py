"""Sign-in by other providers, over HTTP with Authlib."""

from __future__ import annotations

from collections.abc import Sequence

from devflow.adapters.oauth.github import GitHub
from devflow.adapters.oauth.oidc import Issuer
from devflow.core.errors import NotFound, Unavailable
from devflow.core.settings import Settings
from devflow.ports.oauth import Identity, Provider, Trip

_VARIABLES = {
    "github": ("github_client_id", "github_client_secret"),
    "google": ("google_client_id", "google_client_secret"),
    "oidc": ("oidc_issuer", "oidc_client_id", "oidc_client_secret"),
}
_TITLES = {"github": "GitHub", "google": "Google"}


class OAuthProviders:
    """`OAuth` by the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        github_secret = settings.github_client_secret.get_secret_value()
        google_secret = settings.google_client_secret.get_secret_value()
        oidc_secret = settings.oidc_client_secret.get_secret_value()
        self._github = GitHub(settings.github_url, settings.github_api_url, settings.github_client_id, github_secret)
        self._issuers = {
            "google": Issuer("google", "Google", settings.google_issuer, settings.google_client_id, google_secret),
            "oidc": Issuer(
                "oidc", settings.oidc_name.capitalize(), settings.oidc_issuer, settings.oidc_client_id, oidc_secret
            ),
        }

    def providers(self) -> Sequence[Provider]:
        titles = {**_TITLES, "oidc": self._settings.oidc_name}
        return [Provider(name, titles[name]) for name in _VARIABLES if not self.missing(name)]

    def missing(self, name: str) -> Sequence[str]:
        if name not in _VARIABLES:
            raise NotFound("There is no such provider.")
        return [field.upper() for field in _VARIABLES[name] if not str(getattr(self._settings, field) or "")]

    def start(self, name: str, trip: Trip) -> str:
        return self._use(name).start(trip)

    def finish(self, name: str, trip: Trip, code: str) -> Identity:
        return self._use(name).finish(trip, code)

    def of_id_token(self, name: str, token: str) -> Identity:
        self._use(name)
        return self._issuers[name].of_id_token(token)

    def of_access_token(self, name: str, token: str) -> Identity:
        if name != "github":
            raise NotFound("There is no such provider.")
        return self._github.of_access_token(token)

    def revoke(self, name: str, token: str) -> None:
        if name != "github":
            raise NotFound("There is no such provider.")
        self._use(name)
        self._github.revoke(token)

    def _use(self, name: str) -> GitHub | Issuer:
        if missing := self.missing(name):
            title = _TITLES.get(name, "Single sign-on")
            raise Unavailable(
                f"Sign-in with {title} is not set up here: an administrator sets {' and '.join(missing)}.",
                code="EXTERNAL_SERVICE_ERROR", variables=list(missing),
            )  # fmt: skip
        return self._github if name == "github" else self._issuers[name]
