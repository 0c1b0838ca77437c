"""`docs/configuration.md` and `.env.example`, written from the settings themselves so that they cannot drift."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo

from devflow.core.settings import Settings

_INTRODUCTION = """# Configuration

DevFlow reads these variables once, from the environment and from a file `.env` in the folder it is started in (the
environment wins). Everything has a default: an empty configuration is a working installation on one machine.
Every variable may also be given as a file, which suits secrets: `JWT_SECRET_FILE=/run/secrets/jwt`.

This page and `.env.example` are written from the code: `devflow settings --write`.
"""
_EXAMPLE = """# Settings of DevFlow. Copy to .env and uncomment what you change; docs/configuration.md says more.
# This file is written from the code: devflow settings --write
"""
_SECTION = re.compile(r"^    # (.+)$")
_FIELD = re.compile(r"^    (\w+): ")


def configuration() -> str:
    """The text of `docs/configuration.md`."""
    parts = [_INTRODUCTION]
    for title, names in _sections():
        rows = [_row(name, Settings.model_fields[name]) for name in names]
        parts.append("\n".join([f"## {title}\n", "| variable | default | meaning |", "| --- | --- | --- |", *rows, ""]))
    return "\n".join(parts)


def example() -> str:
    """The text of `.env.example`."""
    parts = [_EXAMPLE]
    for title, names in _sections():
        lines = [f"# --- {title} ---"]
        for name in names:
            field = Settings.model_fields[name]
            lines += [f"# {_meaning(field)}", f"#{variables(name, field)[0]}={_default(field)}", ""]
        parts.append("\n".join(lines))
    return "\n".join(parts)


def _sections() -> Iterator[tuple[str, list[str]]]:
    """Fields under the comment that heads them in the class, in its order."""
    title, names = "", list[str]()
    for line in inspect.getsource(Settings).splitlines():
        if match := _SECTION.match(line):
            if names:
                yield title, names
            title, names = match[1], []
        elif (match := _FIELD.match(line)) and match[1] in Settings.model_fields:
            names.append(match[1])
    yield title, names


def variables(name: str, field: FieldInfo) -> list[str]:
    """The names a variable may have, the one to use first."""
    alias = field.validation_alias
    names = [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [name.upper()]
    return list(dict.fromkeys(choice for choice in names if choice.isupper()))


def _row(name: str, field: FieldInfo) -> str:
    first, *others = variables(name, field)
    also = f" Also read: {', '.join(f'`{other}`' for other in others)}." if others else ""
    default = f"`{_default(field)}`" if _default(field) else ""
    return f"| `{first}` | {default} | {_meaning(field).replace('|', chr(92) + '|')}{also} |"


def _meaning(field: FieldInfo) -> str:
    choices = [str(choice) for choice in get_args(field.annotation) if isinstance(choice, str)]
    among = f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
    return f"{field.description}{among}"


def written(value: Any) -> str:
    """A value as it stands in the environment."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _default(field: FieldInfo) -> str:
    return written(field.default)


def write(root: Path) -> list[Path]:
    """Write both files below `root`; returns those that changed."""
    changed = []
    for path, text in ((root / "docs" / "configuration.md", configuration()), (root / ".env.example", example())):
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed
