"""Commands of people, made ready for a Dockerfile."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from devflow.core.errors import Invalid

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_ASSIGNMENT = re.compile(r"\s*[A-Za-z_][A-Za-z0-9_]*=")
_WORD = re.compile(r"\s*((?:[^\s\"'\\]|\\.|\"(?:[^\"\\]|\\.)*\"|'[^']*')+)")
_NOT_EXECUTABLE = {"exec", "cd", "export", "set", "eval", "source", "."}
# grouping, substitution, pipes, jobs, alternatives and loops: what comes last there is not for us to say
_UNCERTAIN = re.compile(r"[\"'`\\(){}#!]|\|(?!\|)|\|\||(?<!&)&(?!&)|(?:^|[;&\s])(?:if|for|while|until|case)\s")


def one_line(field: str, command: str) -> str:
    """The command, trimmed; raises `Invalid` when it would spill into the next line of a Dockerfile."""
    text = command.strip()
    if any(ord(char) < 32 and char != "\t" for char in text):
        raise Invalid(
            "A command has to be one line.", {field: ["Put the command on one line; join several with `&&`."]}
        )
    if re.search(r"(?<!\\)(?:\\\\)*\\\Z", text):
        raise Invalid("A command may not end in a backslash.", {field: ["Remove the backslash at the end."]})
    return text


def replacing(command: str) -> str:
    """The command with `exec` before its last program, so that the program itself hears the stop signal.

    `A=1 serve` becomes `A=1 exec serve`, `migrate && serve` becomes `migrate && exec serve`; pipes, loops and
    anything we cannot read for certain stay as they are.
    """
    masked = re.sub(r"\\.|\"(?:[^\"\\]|\\.)*\"|'[^']*'", lambda found: "_" * len(found[0]), command)
    if _UNCERTAIN.search(masked.replace("${", "__").replace("}", "_")):
        return command
    head = max((found.end() for found in re.finditer(r"&&|;", masked)), default=0)
    start, tail = command[:head], command[head:]
    prefix = ""
    while _ASSIGNMENT.match(tail) and (word := _WORD.match(tail)):
        prefix, tail = prefix + word[0], tail[word.end() :]
    first = _WORD.match(tail)
    if first is None or first[1] in _NOT_EXECUTABLE:
        return command
    lead = " " if start or prefix else ""
    return f"{start}{prefix}{lead}exec {tail.strip()}"


def build_env(values: Mapping[str, str]) -> str:
    """The text of the build secret `env`: lines that a shell reads, for the names a shell can hold.

    Generated Dockerfiles source it in their install and build steps, so no value lands in a layer, in the history or
    in the build cache. BuildKit does not look at secrets when it decides whether a step is cached: pass a keyed digest
    of the same text as build argument `DEVFLOW_BUILD_ENV`, and the build step runs again when a value changed.
    """
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(values.items()) if _NAME.match(name))
