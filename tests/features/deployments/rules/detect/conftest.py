"""Small trees to detect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from devflow.features.deployments.rules.detect import Detected, Overrides, Runtimes, detect

RUNTIMES = Runtimes(
    {
        "python": ("3.13", "3.11"),
        "node": ("24", "22", "20"),
        "go": ("1.24",),
        "php": ("8.4",),
        "ruby": ("3.3",),
    }
)
Plan = Callable[..., Detected]


def write(root: Path, files: Mapping[str, str]) -> Path:
    """Make these files under a folder."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """`plan({name: text}, **overrides)`: what is detected in a tree of these files."""

    def detected(files: Mapping[str, str], **overrides: object) -> Detected:
        return detect(write(tmp_path, files), Overrides(**overrides), RUNTIMES)  # type: ignore[arg-type]

    return detected
