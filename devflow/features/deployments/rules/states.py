"""The life of a deployment: its states, steps, and what they mean for progress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["queued", "building", "deploying", "success", "failed", "cancelled"]
Step = Literal["queue", "clone", "detect", "build", "release", "run", "check", "switch"]

ACTIVE: frozenset[str] = frozenset({"queued", "building", "deploying"})
FINAL: frozenset[str] = frozenset({"success", "failed", "cancelled"})


@dataclass(frozen=True)
class StepFacts:
    """Which coarse stage a step belongs to, how far the deployment is when it starts, and what it says meanwhile."""

    stage: str
    progress: int
    says: str


STEPS: dict[Step, StepFacts] = {
    "queue": StepFacts("queued", 0, "Waiting for a free slot"),
    "clone": StepFacts("building", 4, "Cloning the repository"),
    "detect": StepFacts("building", 12, "Looking at what is in the repository"),
    "build": StepFacts("building", 15, "Building"),
    "release": StepFacts("deploying", 70, "Running the release command"),
    "run": StepFacts("deploying", 75, "Starting the new version"),
    "check": StepFacts("deploying", 82, "Waiting until the new version answers"),
    "switch": StepFacts("deploying", 94, "Switching traffic to the new version"),
}
COARSE = {"queued": "Queued", "building": "Building", "deploying": "Deploying"}

_MOVES: dict[str, frozenset[str]] = {
    "queued": frozenset({"building", "deploying", "failed", "cancelled"}),
    "building": frozenset({"building", "deploying", "failed", "cancelled"}),
    "deploying": frozenset({"building", "deploying", "success", "failed", "cancelled"}),
    "success": frozenset({"failed"}),
    "failed": frozenset(),
    "cancelled": frozenset(),
}


def may_move(old: str, new: str) -> bool:
    """`deploying` to `building` happens when a second worker starts over; `success` to `failed` when a version crashes
    within its watch."""
    return new in _MOVES.get(old, frozenset())


FILTERS: dict[str, tuple[str, ...]] = {
    "all": (),
    "active": ("building", "deploying"),
    "running": ("building", "deploying"),
    "completed": ("success",),
    "pending": ("queued",),
    "queued": ("queued",),
    "building": ("building", "deploying"),
    "deploying": ("deploying",),
    "success": ("success",),
    "failed": ("failed",),
    "cancelled": ("cancelled",),
}
"""Words a list may be filtered by (conflicts.md C56). `building` in a filter means: being worked on."""
