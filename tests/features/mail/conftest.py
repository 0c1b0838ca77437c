"""Fixtures of the tests in this folder."""

from __future__ import annotations

from tests.ports.mail_fixtures import start_sink  # noqa: F401
