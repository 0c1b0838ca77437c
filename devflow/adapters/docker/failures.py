"""Why a build failed: the builders' messages as `StepFailed` with a cause a program knows."""

from __future__ import annotations

import re

from devflow.core.errors import StepFailed

_PARSE = re.compile(r"dockerfile parse error (?:on )?line (\d+): (.+)", re.IGNORECASE | re.DOTALL)
_EXIT = re.compile(r"(?:exit code:|non-zero code:|exited with code) (\d+)")
_COMMAND = re.compile(
    r"executor failed running \[(?P<old>.+)\]: exit code|process \"(?P<new>.+)\" did not complete|"
    r"The command '(?P<classic>.+)' returned a non-zero",
    re.DOTALL,
)
_FULL = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_INVALID = re.compile(
    r"Dockerfile(?: \([^)]*\))? cannot be empty|file with no instructions|target stage .+ could not be found|"
    r"failed to reach build target|should not be blank|failed to read dockerfile|Cannot locate specified Dockerfile|"
    r"failed to parse stage name|No build stage in current context|unknown instruction|Unknown flag|"
    r"circular dependency|invalid reference format|the --mount option requires BuildKit",
    re.IGNORECASE,
)
_MISSING = re.compile(
    r"no such host|dial tcp|pull access denied|manifest unknown|repository does not exist|failed to do request|"
    r"No such image|failed to resolve source metadata|manifest for .+ not found|server misbehaving|TLS handshake|"
    r"Client\.Timeout|unauthorized|toomanyrequests|connection refused|proxyconnect",
    re.IGNORECASE,
)
_DOWNLOAD = re.compile(r"\bADD\b|^https?://")
_IMAGE = re.compile(r"(?:metadata for|FROM) (?:--\S+ )*(\S+)")
_FRONTEND = re.compile(
    r"^failed to solve(?: with frontend [\w.]+)?: |^failed to create LLB definition: |^rpc error: code = \w+ desc = "
)


def says_full(text: str) -> bool:
    """Is this what a program or the builder says when there is no space left?"""
    return bool(_FULL.search(text))


def failure(message: str, step: str = "", code: int | None = None, *, full: bool = False) -> StepFailed:
    """The error of a build that ended with `message` in `step`; `code` is the command's exit code if known.

    `full`: that command has said itself that there was no space left.
    """
    message = message.strip()
    if code is None and (match := _EXIT.search(message)):
        code = int(match[1])
    if full or says_full(message):
        return StepFailed(
            "The disk of the Docker engine is full.",
            cause="disk_full",
            hint="Remove old images or the build cache, then deploy again.",
        )
    if parse := _PARSE.search(message):
        return _invalid(f"Line {parse[1]} of the Dockerfile cannot be read: {parse[2].strip()}.", parse[2])
    if code is not None:
        return _command(message, step, code)
    if _MISSING.search(message) and not _DOWNLOAD.search(step):
        return _image(message, step)
    if _INVALID.search(message):
        return _invalid(f"The Dockerfile cannot be used: {_core(message)}.", message)
    return _other(message, step)


def _command(message: str, step: str, code: int) -> StepFailed:
    match = _COMMAND.search(message)
    command = (match["old"] or match["new"] or match["classic"]) if match else step
    command = command.removeprefix("/bin/sh -c ")
    if code == 137:
        return StepFailed(
            f"`{command}` was killed (exit code 137): the build used more memory than it may.",
            cause="out_of_memory",
            hint="Give builds more memory (BUILD_MEMORY), or make this step use less.",
        )
    return StepFailed(
        f"`{command}` ended with exit code {code}.",
        cause="build_failed",
        hint="The lines above it in the log say why. Fix it in the repository and deploy again.",
    )


def _image(message: str, step: str) -> StepFailed:
    match = _IMAGE.search(step) or _IMAGE.search(message)
    image = match[1].removeprefix("docker.io/").removeprefix("library/") if match else "An image of the Dockerfile"
    return StepFailed(
        f"{image} is not on this engine and could not be pulled: {_core(message)}.",
        cause="image_not_found",
        hint="Check the name of the image, or that the engine reaches its registry.",
    )


def _invalid(sentence: str, message: str) -> StepFailed:
    hint = "Fix the Dockerfile and deploy again."
    if "mount" in message.lower():
        hint = "RUN --mount needs BuildKit, which this engine does not offer."
    return StepFailed(sentence, cause="dockerfile_invalid", hint=hint)


def _other(message: str, step: str) -> StepFailed:
    if match := re.search(r'"(/[^"]*)"?:? not found|stat (\S+?): file does not exist', message):
        path = (match[1] or match[2]).lstrip("/")
        return StepFailed(
            f"{step or 'A step'} needs {path!r}, which is not in the repository or is left out by .dockerignore.",
            cause="build_failed",
            hint="Add the file, or correct the path in the Dockerfile.",
        )
    where = f" at {step}" if step else ""
    return StepFailed(
        f"The build failed{where}: {_core(message)}.",
        cause="build_failed",
        hint="The log of the build says more.",
    )


def _core(message: str) -> str:
    """The message without the layers the builder wrapped around it."""
    while (shorter := _FRONTEND.sub("", message)) != message:
        message = shorter
    return message.strip().rstrip(".")
