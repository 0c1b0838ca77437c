"""Detection: from a checked-out tree to a build plan. Reads files only; never runs or imports what it reads."""

from devflow.features.deployments.rules.detect.finding import detect
from devflow.features.deployments.rules.detect.render import plain, scoped_caches, without_mounts
from devflow.features.deployments.rules.detect.runtimes import Choice, Runtimes
from devflow.features.deployments.rules.detect.shell import build_env
from devflow.features.deployments.rules.detect.values import FRAMEWORKS, Detected, Evidence, Overrides

__all__ = [
    "FRAMEWORKS",
    "Choice",
    "Detected",
    "Evidence",
    "Overrides",
    "Runtimes",
    "build_env",
    "detect",
    "plain",
    "scoped_caches",
    "without_mounts",
]
