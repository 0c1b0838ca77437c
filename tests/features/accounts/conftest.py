"""Providers that answer over a socket, for tests of sign-in by others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import oidc_provider_mock
import pytest

from tests.features.accounts.github_fixture import Github, running_github


@pytest.fixture
def github() -> Iterator[Github]:
    with running_github() as server:
        yield server


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with oidc_provider_mock.run_server_in_thread() as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture
def provided(github: Github, issuer: str) -> dict[str, Any]:
    """Settings of an app that knows all three."""
    return {
        **github.settings(), "app_url": "http://localhost", "google_issuer": issuer, "google_client_id": "google-id",
        "google_client_secret": "s", "oidc_issuer": f"{issuer}/", "oidc_client_id": "oidc-id",
        "oidc_client_secret": "s", "oidc_name": "Acme",
    }  # fmt: skip
