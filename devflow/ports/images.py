"""Base images: what a `FROM` line names, and how it comes onto the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True)
class BaseImage:
    """One image DevFlow can provide by itself. `size` in bytes, 0 while it is not on the engine."""

    reference: str
    state: Literal["present", "buildable"]
    size: int
    summary: str


class BaseImages(Protocol):
    """Every method raises `Unavailable` when the engine does not answer."""

    def versions(self) -> Mapping[str, tuple[str, ...]]:
        """Runtime (python, node, go, php, ruby) to the versions that can be had here, newest first."""
        ...

    def ensure(self, reference: str, on_line: Callable[[str], None], cancelled: Callable[[], bool]) -> None:
        """Make `FROM reference` work: nothing when it is present; else pulled; else built from the distribution's
        packages and tagged with that name. Raises `StepFailed` (cause `image_not_found` with what is available,
        `image_build_failed`) or `Cancelled`."""
        ...

    def build_all(self, names: Sequence[str], on_line: Callable[[str], None], refresh: bool = False) -> tuple[str, ...]:
        """Build the named images (empty: all of them) that are missing or built by an older recipe; with `refresh`
        all of them again. Returns what was built. Raises `StepFailed`."""
        ...

    def list_images(self) -> tuple[BaseImage, ...]:
        """What DevFlow can provide without a registry."""
        ...
