"""Which other web pages may call the API: the origins of FRONTEND_URL and CORS_ORIGINS, and no other."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask
from flask_cors import CORS

from devflow.core.errors import Invalid
from devflow.core.settings import Settings

ALLOWED = (
    "Authorization", "Content-Type", "Accept", "Idempotency-Key", "X-API-Version", "X-Request-ID", "X-Team-Id",
    "X-CSRFToken",
)  # fmt: skip
EXPOSED = (
    "X-Request-ID", "X-API-Version", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After",
    "Idempotency-Replayed", "Deprecation", "Sunset", "Link", "Content-Disposition",
)  # fmt: skip
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def init_app(app: Flask, settings: Settings) -> None:
    allowed = origins(settings)
    if allowed:
        CORS(
            app,
            resources={r"/api/.*": {}},
            origins=allowed,
            methods=_METHODS,
            allow_headers=ALLOWED,
            expose_headers=EXPOSED,
            supports_credentials=True,
            max_age=600,
        )


def origins(settings: Settings) -> list[str]:
    """Scheme, host and port of each page that may call. Raises Invalid for what is no origin, `*` included."""
    given = [("FRONTEND_URL", settings.frontend_url)]
    given += [("CORS_ORIGINS", one) for one in settings.cors_origins.split(",")]
    return [_origin(name, url.strip()) for name, url in given if url.strip()]


def _origin(name: str, url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "*" in url or parts.username:
        text = f"{url} is not an origin. Write it like https://app.example.com."
        raise Invalid(f"These settings cannot be used: {name}. {text}", {name: [text]})
    return f"{parts.scheme}://{parts.netloc.lower()}"
