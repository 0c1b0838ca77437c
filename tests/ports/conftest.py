"""Fixtures of the contract tests in this folder."""

from __future__ import annotations

from tests.ports.engine_fixtures import engine, engine_busybox, engine_scope  # noqa: F401
from tests.ports.mail_fixtures import certificate, start_sink  # noqa: F401
