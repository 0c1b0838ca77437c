"""The user's own Dockerfile: which images it stands on and which port it opens."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from devflow.core.errors import StepFailed
from devflow.features.deployments.rules.detect import shell
from devflow.features.deployments.rules.detect.source import Source, folder_name
from devflow.features.deployments.rules.detect.tree import broken
from devflow.features.deployments.rules.detect.values import Detected, Evidence

NAMES = ("Dockerfile", "dockerfile", "Containerfile")
PORT = 8080
"""What a Dockerfile that names no port is expected to listen on; it is told by the variable PORT."""
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?:(:?[-+])([^}]*))?\}|([A-Za-z_]\w*))")
_PLATFORM = {"TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT"}
_PLATFORM |= {"BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT"}


@dataclass
class Reading:
    """What a Dockerfile says; `unknown` are images that only a build argument names."""

    images: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)
    count: int = 0
    ports: list[int] = field(default_factory=list)
    port_env: int | None = None
    secrets: list[str] = field(default_factory=list)
    frontend: str = ""
    args: list[str] = field(default_factory=list)


def plan(source: Source) -> Detected | None:
    """A plan when the project builds its own Dockerfile; raises `StepFailed` when the one it names is missing."""
    said = source.overrides
    if said.framework not in ("", "dockerfile"):
        return None
    name = folder_name("dockerfile", said.dockerfile) if said.dockerfile else source.tree.first(*NAMES)
    if name is None or not source.tree.is_file(name):
        if not said.dockerfile and said.framework != "dockerfile":
            return None
        raise StepFailed(
            f"There is no {name or 'Dockerfile'} in the root directory.",
            cause="dockerfile_missing",
            hint="Commit it, or correct the path of the Dockerfile in the project's settings.",
        )
    read = parse(source.tree.text(name), name)
    port = said.port or (read.ports[0] if read.ports else None) or read.port_env or PORT
    stages = f"{read.count} stages" if read.count > 1 else "1 stage"
    notes = [*_notes(read, port, asked=bool(said.port)), *source.procfile.notes]
    return Detected(
        framework="dockerfile",
        title=f"Dockerfile, from {read.images[-1]}" if read.images else "Dockerfile",
        kind="app",
        install_command="",
        build_command="",
        start_command=shell.one_line("start_command", said.start_command),
        output_directory="",
        release_command=source.procfile.release,
        port=port,
        spa=False,
        runtime=None,
        runtime_version=None,
        base_images=tuple(dict.fromkeys(read.images)),
        dockerfile=name,
        dockerfile_text=None,
        static_path=None,
        evidence=(Evidence(name, f"{stages}, port {port}"), *source.procfile.evidence),
        notes=tuple(notes),
        required_secrets=tuple(dict.fromkeys(read.secrets)),
    )


def _notes(read: Reading, port: int, *, asked: bool) -> list[str]:
    notes = []
    if not (asked or read.ports or read.port_env):
        notes.append(f"The Dockerfile has no EXPOSE, so port {port} is expected; it is passed as the variable PORT.")
    if len(read.ports) > 1 and not asked:
        others = ", ".join(map(str, read.ports[1:]))
        notes.append(f"The Dockerfile exposes several ports; {read.ports[0]} is served and {others} is not.")
    if read.frontend:
        notes.append(
            f"The syntax line asks for {read.frontend}; where it cannot be pulled the builder's own syntax is used."
        )
    notes += [f"`FROM {name}` is known only when the build argument is given." for name in read.unknown]
    return notes


def parse(text: str, name: str = "Dockerfile") -> Reading:
    """Read the instructions; raises `StepFailed` when there is no FROM."""
    read = Reading(frontend=_frontend(text))
    outer: dict[str, str] = {}
    scope: dict[str, str] = {}
    for word, rest in instructions(text):
        if word == "FROM":
            scope = dict(outer)
            _from(rest, read, outer)
        elif word == "ARG":
            _arguments(rest, read, scope if read.count else outer, outer)
        elif word == "ENV":
            scope |= {key: _filled(value, scope) for key, value in _pairs(rest)}
            read.port_env = int(scope["PORT"]) if scope.get("PORT", "").isdigit() else read.port_env
        elif word == "EXPOSE":
            read.ports += _ports(_filled(rest, scope))
        elif word == "COPY" and (found := re.search(r"--from=(\S+)", rest)):
            _copied(_filled(found[1], outer), read)
        elif word == "RUN":
            _mounts(rest, read)
    if not read.count:
        raise broken(name, "it has no FROM instruction")
    read.ports = sorted(dict.fromkeys(read.ports))
    return read


def instructions(text: str) -> list[tuple[str, str]]:
    """(INSTRUCTION, arguments) with continued lines joined, comments and heredocs left out."""
    escape = "`" if re.match(r"(?i)(?:\s*#.*\n)*?\s*#\s*escape\s*=\s*`", text) else "\\"
    found: list[tuple[str, str]] = []
    joined, ends = "", list[str]()
    for line in text.splitlines():
        if ends:
            if line.strip() == ends[0]:
                ends.pop(0)
            continue
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        joined += line.rstrip()
        if joined.endswith(escape):
            joined = joined[:-1] + " "
            continue
        word, _, rest = joined.strip().partition(" ")
        found.append((word.upper(), rest.strip()))
        ends = re.findall(r"<<-?[\"']?([A-Za-z_]\w*)", rest) if word.upper() in ("RUN", "COPY", "ADD") else []
        joined = ""
    if joined.strip():
        word, _, rest = joined.strip().partition(" ")
        found.append((word.upper(), rest.strip()))
    return found


def _frontend(text: str) -> str:
    for line in text.splitlines():
        match = re.match(r"\s*#\s*(\w+)\s*=\s*(\S+)", line)
        if match is None:
            return ""
        if match[1].lower() == "syntax":
            return match[2]
    return ""


def _from(rest: str, read: Reading, outer: dict[str, str]) -> None:
    words = [word for word in rest.split() if not word.startswith("--")]
    read.count += 1
    read.ports, read.port_env = [], None
    if words:
        _copied(_filled(words[0], outer), read)
    if len(words) > 2 and words[1].lower() == "as":
        read.stages.append(words[2].lower())


def _copied(image: str, read: Reading) -> None:
    """Count an image in, unless it is an earlier stage, `scratch`, or not to be known."""
    if "$" in image or not image:
        read.unknown.append(image or "an empty name")
    elif image.lower() not in (*read.stages, "scratch") and not image.isdigit():
        read.images.append(image)


def _arguments(rest: str, read: Reading, scope: dict[str, str], outer: dict[str, str]) -> None:
    for key, value in _pairs(rest) or [(word, "") for word in rest.split()]:
        read.args.append(key)
        if value:
            scope[key] = _filled(value, scope)
        elif key in outer:
            scope[key] = outer[key]


def _mounts(rest: str, read: Reading) -> None:
    for mount in re.findall(r"--mount=(\S+)", rest):
        options = dict(part.partition("=")[::2] for part in mount.split(","))
        if options.get("type") == "secret" and options.get("required", "false") in ("", "true"):
            read.secrets.append(options.get("id", ""))
        if "from" in options:
            _copied(options["from"], read)


def _pairs(rest: str) -> list[tuple[str, str]]:
    found = re.findall(r"([A-Za-z_]\w*)=(\"(?:[^\"\\]|\\.)*\"|'[^']*'|\S*)", rest)
    if found:
        return [(key, value.strip("\"'")) for key, value in found]
    key, _, value = rest.partition(" ")
    return [(key, value.strip())] if value else []


def _filled(text: str, values: dict[str, str]) -> str:
    """The text with variables replaced; one without a value keeps its dollar sign."""

    def value(match: re.Match[str]) -> str:
        name, operator, default = match[1] or match[4], match[2] or "", match[3] or ""
        known = values.get(name, "")
        if operator.endswith("+"):
            return default if known else ""
        return known or (default if operator else match[0])

    return _VARIABLE.sub(value, text.strip("\"'"))


def _ports(rest: str) -> list[int]:
    found = []
    for word in rest.split():
        match = re.fullmatch(r"(\d{1,5})(?:-\d+)?(?:/tcp)?", word, re.IGNORECASE)
        if match and 0 < int(match[1]) < 65536:
            found.append(int(match[1]))
    return found
