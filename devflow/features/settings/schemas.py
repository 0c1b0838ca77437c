"""What an administrator may change."""

from __future__ import annotations

from typing import Literal

from devflow.core.schema import Input, Output


class PlatformPatch(Input):
    sign_up: Literal["open", "invitation", "closed"] | None = None
    allow_local_repositories: bool | None = None


class PlatformOut(Output):
    sign_up: str
    allow_local_repositories: bool
    base_domain: str
    build_concurrency: int
