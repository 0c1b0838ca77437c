"""Starts the processes of DevFlow on one machine and keeps them running."""

from __future__ import annotations

from devflow.supervisor.run import run
from devflow.supervisor.services import Service, services

__all__ = ["Service", "run", "services"]
