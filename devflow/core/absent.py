"""Import a library without what it would take along."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def absent(*modules: str) -> Iterator[None]:
    """Inside, these modules count as not installed, unless somebody has imported them already."""
    hidden = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is how Python says it
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
