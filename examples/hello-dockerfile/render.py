"""Fills the page in while building."""

import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

text = Path(sys.argv[1]).read_text(encoding="utf-8")
print(text.replace("{built}", f"{datetime.now(UTC):%d %b %Y %H:%M} UTC").replace("{python}", platform.python_version()))
