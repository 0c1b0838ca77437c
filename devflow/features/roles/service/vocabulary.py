"""The built-in roles and the known permissions, for other features that show them."""

from __future__ import annotations

from devflow.features.roles.rules import BUILT_IN, BUILT_IN_IDS, built_in, known

__all__ = ["BUILT_IN", "BUILT_IN_IDS", "built_in", "known"]
