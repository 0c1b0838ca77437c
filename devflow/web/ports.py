"""How doors and tasks reach the outside world: the adapters that `app.py` put into this app."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from flask import Flask, current_app

Port = TypeVar("Port")
_KEY = "devflow-ports"


def provide(app: Flask, kind: type[Port], adapter: Port) -> None:
    """Let this app use the adapter wherever the port is asked for."""
    app.extensions.setdefault(_KEY, {})[kind] = adapter


def port(kind: type[Port]) -> Port:
    """The adapter behind a port."""
    found: Any = current_app.extensions[_KEY][kind]
    return cast(Port, found)
