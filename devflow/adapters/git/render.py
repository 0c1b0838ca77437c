"""The environment git runs in, and what its output means. Pure, but for the host's own environment and git's trace."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from devflow.adapters.git.address import Address
from devflow.adapters.git.guard import Pin
from devflow.ports.git import Commit, Remote

_KEPT = re.compile(
    r"PATH|LD_LIBRARY_PATH|(?:https?|ftp|all|no)_proxy|SSL_CERT_(?:FILE|DIR)|GIT_SSL_CA(?:INFO|PATH)|CURL_CA_BUNDLE",
    re.I,
)
HOST_CONFIG = ("http.sslcainfo", "http.sslcapath", "http.proxy")
"""The host's own git settings that reach a clone: how to get out, and whom to trust."""

COMMIT_FORMAT = "%H%x00%s%x00%an%x00%cI"

ASKPASS = """#!/bin/sh
# Answers for the repository's own host only: a submodule elsewhere must not be given the token.
case "$1" in
  "Username for '$DEVFLOW_GIT_ORIGIN': ") printf '%s\\n' "$DEVFLOW_GIT_USERNAME" ;;
  "Password for '$DEVFLOW_GIT_SCHEME://"*"@$DEVFLOW_GIT_HOST': ") printf '%s\\n' "$DEVFLOW_GIT_TOKEN" ;;
  *) exit 1 ;;
esac
"""


def environment(
    host: Mapping[str, str],
    address: Address,
    private: Path,
    known_hosts: Path,
    config: Mapping[str, str],
    pin: Pin | None,
) -> dict[str, str]:
    """`private`: a folder of this one run, holding `askpass` and `key`. `config`: more git settings.

    `pin`: the one host git may reach, and where; None where it may reach any."""
    kept = {name: value for name, value in host.items() if _KEPT.fullmatch(name)}
    fixed = {
        "HOME": str(private),
        "LC_ALL": "C.UTF-8",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_ALLOW_PROTOCOL": "https:http:ssh:file" if address.kind == "local" else "https:http:ssh",
        "GIT_SSH_COMMAND": _ssh(address, private, known_hosts, pin),
    }
    # Git names no target when it does not follow a redirect: its trace does, without the secrets.
    trace = {"GIT_TRACE_CURL": str(private / "trace"), "GIT_TRACE_CURL_NO_DATA": "1"} if pin else {}
    return kept | fixed | trace | _secrets(address, private) | _config({**config, **_pinned(pin)})


def _pinned(pin: Pin | None) -> dict[str, str]:
    """A redirect could lead where the pin does not hold, so none is followed."""
    if not pin:
        return {}
    redirects = {"http.followRedirects": "false"}
    if ":" in pin.host:  # a number is its own pin, and the setting has no way to write this one
        return redirects
    addresses = ",".join(f"[{found}]" if ":" in found else found for found in pin.addresses)
    return redirects | {"http.curloptResolve": f"{pin.host}:{pin.port}:{addresses}"}


def _config(more: Mapping[str, str]) -> dict[str, str]:
    """Settings by environment: they hold for submodules too, and no proxy password shows in a process list."""
    settings = {
        "core.hooksPath": "/dev/null",
        "core.symlinks": "true",
        "core.fsmonitor": "false",
        "credential.helper": "",
        "gc.auto": "0",
        "maintenance.auto": "false",
        "safe.directory": "*",
        "advice.detachedHead": "false",
        "submodule.recurse": "false",
        "http.followRedirects": "initial",
        "init.defaultBranch": "main",
        **more,
    }
    result = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        result |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return result


def _secrets(address: Address, private: Path) -> dict[str, str]:
    scheme, _, place = address.origin.partition("://")
    if not address.credentials.token or address.kind != "http":
        return {"GIT_ASKPASS": "/bin/false"}
    return {
        "GIT_ASKPASS": str(private / "askpass"),
        "DEVFLOW_GIT_ORIGIN": address.origin,
        "DEVFLOW_GIT_SCHEME": scheme,
        "DEVFLOW_GIT_HOST": place,
        "DEVFLOW_GIT_USERNAME": address.credentials.username,
        "DEVFLOW_GIT_TOKEN": address.credentials.token,
    }


def _ssh(address: Address, private: Path, known_hosts: Path, pin: Pin | None) -> str:
    options = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "StrictHostKeyChecking": "accept-new",
        "UserKnownHostsFile": f'"{known_hosts}"',
        "ConnectTimeout": "10",
        "ForwardAgent": "no",
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "no",
        **({} if address.credentials.ssh_key else {"PubkeyAuthentication": "no"}),
        **({"HostName": pin.addresses[0], "HostKeyAlias": pin.known_as} if pin else {}),
    }
    words = ["ssh", "-F", "/dev/null", *(("-i", str(private / "key")) if address.credentials.ssh_key else ())]
    for name, value in options.items():
        words += ["-o", f"{name}={value}"]
    return shlex.join(words)


def told(text: str, environment: Mapping[str, str]) -> str:
    """What git said, and below it where the redirect leads that it did not follow."""
    trace = Path(environment.get("GIT_TRACE_CURL", ""))
    if not trace.is_file() or not re.search(r"returned error: 30[12378]", text):
        return text
    targets = re.findall(r"<= Recv header: location: (\S+)", trace.read_text(errors="replace"), re.IGNORECASE)
    return f"{text}\nredirected to {targets[-1].partition('/info/refs')[0][:300]}\n" if targets else text


def masked(line: str, address: Address) -> str:
    """A line of git's without the token, and without names and passwords inside addresses."""
    token = address.credentials.token
    for secret in (token, quote(token, safe="")) if token else ():
        line = line.replace(secret, "***")
    return re.sub(r"(https?://)[^/\s'\"@]+@", r"\1", line)


def remote(text: str) -> Remote:
    """Read `git ls-remote --symref`."""
    default, branches = None, []
    for line in text.splitlines():
        value, _, name = line.partition("\t")
        if name == "HEAD" and value.startswith("ref: refs/heads/"):
            default = value.removeprefix("ref: refs/heads/")
        elif name.startswith("refs/heads/"):
            branches.append((name.removeprefix("refs/heads/"), value))
    if default not in dict(branches):
        default = None
    return Remote(default, tuple(branches))


def commit(text: str) -> Commit:
    """Read one commit printed in `COMMIT_FORMAT`."""
    sha, message, author, moment = text.strip("\n").split("\0")
    return Commit(sha, message, author, datetime.fromisoformat(moment) if moment else None)
