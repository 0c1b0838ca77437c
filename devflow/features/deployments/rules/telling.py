"""How a deployment is told to people: its steps, its facts, what changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from devflow.core.settings import Settings
from devflow.ports.logs import Line

_TRIGGERS = {
    "api": "The API",
    "manual": "By hand",
    "redeploy": "Redeploy",
    "rollback": "Rollback",
    "webhook": "A push",
}
EXPECTED: dict[str, str] = {"run": "about 1 s", "check": "until healthy", "switch": "instant"}
"""What is said of steps that are still to come."""


def steps(stages: Iterable[Any], status: str) -> list[dict[str, Any]]:
    """The steps as the page shows them; what never happened is `skipped`."""
    shown = []
    for stage in stages:
        state = stage.status
        if state == "failed" and status == "cancelled":
            state = "cancelled"
        shown.append(
            {"name": stage.name, "status": state, "seconds": stage.seconds, "expected": EXPECTED.get(stage.step)}
        )
    return shown


def as_rows(lines: Iterable[Line]) -> bytes:
    """Lines as our own page takes them, on one line of text."""
    return orjson.dumps(list(map(tuple, lines)), option=orjson.OPT_APPEND_NEWLINE)


def facts(deployment: Any, project: Any, settings: Settings) -> list[tuple[str, Any]]:
    """Label and value pairs for the column beside the log."""
    artifact = deployment.artifact or {}
    config = deployment.config
    memory = config.get("memory_mb") or settings.app_memory
    cpus = config.get("cpus") or settings.app_cpus
    static = artifact.get("kind") == "static"
    found = [
        ("Project", project.name),
        ("Started by", deployment.user_name or "DevFlow"),
        ("Because of", _TRIGGERS.get(deployment.trigger, deployment.trigger)),
        ("Branch", deployment.branch),
        ("Commit", (deployment.commit_hash or "")[:12]),
        ("Framework", artifact.get("title")),
        ("Port", None if static else artifact.get("port")),
        ("Limits", None if static else f"{cpus:g} CPU, {memory} MB"),
        ("Check", None if static else f"GET {config.get('health_path', '/')}"),
        ("Attempt", deployment.attempt if deployment.attempt > 1 else None),
    ]
    return [(label, value) for label, value in found if value]


def env_changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[dict[str, str]]:
    """Which variables came, went or changed; the values stay hidden."""
    changes = []
    for name in sorted({*before, *after}):
        if name not in after:
            changes.append({"sign": "−", "name": name, "masked": "••••••••"})
        elif name not in before:
            changes.append({"sign": "+", "name": name, "masked": "••••••••"})
        elif before[name] != after[name]:
            changes.append({"sign": "±", "name": name, "masked": "•••••••• (changed)"})
    return changes
