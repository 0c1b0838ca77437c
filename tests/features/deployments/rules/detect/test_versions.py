"""Which version is chosen, and what is said about it."""

from __future__ import annotations

import pytest

from devflow.core.errors import StepFailed
from devflow.features.deployments.rules.detect import Runtimes
from tests.features.deployments.rules.detect.conftest import RUNTIMES


@pytest.mark.parametrize(
    ("runtime", "wanted", "version"),
    [
        ("python", None, "3.13"),
        ("python", "", "3.13"),
        ("python", "3.11", "3.11"),
        ("python", "3.11.9", "3.11"),
        ("python", "python-3.11.4", "3.11"),
        ("python", "cpython@3.11", "3.11"),
        ("python", "3.13.0rc1", "3.13"),
        ("python", "3.13t", "3.13"),
        ("python", ">=3.9", "3.13"),
        ("python", ">=3.9,<3.13", "3.11"),
        ("python", ">=3.13.2", "3.13"),
        ("python", "<3.13.0", "3.11"),
        ("python", "<=3.11", "3.11"),
        ("python", ">3.11", "3.13"),
        ("python", "~=3.11", "3.13"),
        ("python", "~=3.11.2", "3.11"),
        ("python", "^3.11", "3.13"),
        ("python", "==3.11.*", "3.11"),
        ("python", ">=3.9,!=3.13.*", "3.11"),
        ("python", "3.12", "3.13"),
        ("python", "3.10", "3.11"),
        ("python", "3.14", "3.13"),
        ("python", "2.7", "3.11"),
        ("node", "20", "20"),
        ("node", "v22.11.0", "22"),
        ("node", "20.x", "20"),
        ("node", ">=18", "24"),
        ("node", ">=18 <21", "20"),
        ("node", "18 || 20", "20"),
        ("node", "18 - 22", "22"),
        ("node", "^22.1.0", "22"),
        ("node", "~20.3", "20"),
        ("node", "lts/*", "24"),
        ("node", "lts/iron", "20"),
        ("node", "latest", "24"),
        ("node", "*", "24"),
        ("node", "21", "22"),
        ("node", "18", "20"),
        ("node", "26", "24"),
        ("php", "^8.1|^8.2", "8.4"),
        ("php", "~8.2.0", "8.4"),
        ("ruby", "~> 3.2", "3.3"),
        ("ruby", "ruby-3.3.0", "3.3"),
        ("ruby", "3.3.0p100", "3.3"),
        ("go", ">=1.22", "1.24"),
        ("go", ">=1.25", "1.24"),
        ("python", "nonsense", "3.13"),
        ("python", "9" * 5000, "3.13"),
    ],
)
def test_the_nearest_version_is_chosen(runtime: str, wanted: str | None, version: str) -> None:
    assert RUNTIMES.choose(runtime, wanted).version == version


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (None, "The project asks for no particular Python; 3.13 is the newest here."),
        ("3.11", "`.python-version` asks for 3.11; Python 3.11 is used."),
        (">=3.9", "`.python-version` asks for >=3.9; the newest that fits is Python 3.13."),
        ("3.12", "`.python-version` asks for 3.12, which is not here; 3.13 is the nearest."),
    ],
)
def test_the_reason_is_a_sentence_for_the_log(wanted: str | None, reason: str) -> None:
    assert RUNTIMES.choose("python", wanted, "`.python-version`").reason == reason


def test_versions_may_come_in_any_order() -> None:
    assert Runtimes({"python": ("3.9", "3.13", "3.11")}).choose("python", None).version == "3.13"


def test_a_language_without_base_images_is_named() -> None:
    with pytest.raises(StepFailed) as failure:
        Runtimes({}).choose("ruby", "3.3")
    assert failure.value.cause == "image_not_found"
    assert failure.value.message == "No Ruby base image can be had on this server."
