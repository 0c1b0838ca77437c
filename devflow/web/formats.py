"""How templates write times, durations, sizes and names (design.md section 7)."""

from __future__ import annotations

import hashlib
import zlib
from datetime import datetime
from pathlib import Path

from flask import Flask, url_for

from devflow.core.addresses import is_service
from devflow.core.clock import now


def ago(moment: datetime | None) -> str:
    """`38 s ago`, `5 min ago`, `2 h ago`, `yesterday`, `3 days ago`, then `14 Oct` or `14 Oct 2025`."""
    if moment is None:
        return "–"
    seconds = (now() - moment).total_seconds()
    if seconds < 5:
        return "now"
    if seconds < 60:
        return f"{int(seconds)} s ago"
    if seconds < 3600:
        return f"{int(seconds // 60)} min ago"
    if seconds < 86_400:
        return f"{int(seconds // 3600)} h ago"
    days = int(seconds // 86_400)
    if days == 1:
        return "yesterday"
    if days < 7:
        return f"{days} days ago"
    year = f" {moment.year}" if moment.year != now().year else ""
    return f"{moment.day} {moment:%b}{year}"


def duration(seconds: float | None) -> str:
    """`0.4 s`, `58 s`, `1 m 08 s`, `1 h 02 m`; a missing one is `–`."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} m"


def size(count: float | None) -> str:
    """`186 MB`."""
    if count is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


def initials(name: str) -> str:
    parts = [part for part in name.replace("-", " ").replace("_", " ").split() if part]
    return ((parts[0][0] + parts[-1][0]) if len(parts) > 1 else (name[:2] or "?")).upper()


def hue(name: str) -> int:
    """A number 0..7 that is always the same for a name."""
    return zlib.crc32(name.encode()) % 8


def init_app(app: Flask) -> None:
    env = app.jinja_env
    env.filters.update(ago=ago, duration=duration, bytes=size, initials=initials, hue=hue)
    env.tests["service_account"] = is_service
    env.filters["short"] = lambda sha: (sha or "")[:7]
    env.filters["exact"] = lambda moment: f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else ""
    digests: dict[str, tuple[float, str]] = {}

    def asset(name: str) -> str:
        """The address of a static file with its digest, so that browsers may keep it for ever."""
        path = Path(str(app.static_folder)) / name
        changed = path.stat().st_mtime if path.exists() else 0.0
        if name not in digests or digests[name][0] != changed:
            digests[name] = (changed, hashlib.sha256(path.read_bytes()).hexdigest()[:12] if changed else "missing")
        return url_for("static", filename=name, v=digests[name][1])

    env.globals["asset"] = asset
