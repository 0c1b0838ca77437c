"""What git's complaints mean to a person. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeVar

from devflow.adapters.git.address import Address, invalid
from devflow.core.errors import Invalid, StepFailed

Error = TypeVar("Error", Invalid, StepFailed)


@dataclass(frozen=True)
class Failure:
    """A cause (a stable word), a sentence, and what to do. `{place}` is the host, `{url}` the address.

    `leads_to` is where the server sends us instead, if it does.
    """

    cause: str
    message: str
    hint: str
    leads_to: str = ""


_KEY_UNREADABLE = Failure(
    "access_denied",
    "The deploy key cannot be read.",
    "Paste the whole private key, from its BEGIN line to its END line, without a passphrase.",
)
_HOST_KEY = Failure(
    "access_denied",
    "{place} does not show the key it showed before, so the connection was not trusted.",
    "If the server was reinstalled, an administrator removes its line from git/known_hosts in the data folder.",
)
_NO_ACCESS = Failure(
    "access_denied",
    "{place} did not let DevFlow read this repository.",
    "If it is a private repository, add a deploy key or an access token that may read it.",
)
_REFUSED = Failure(
    "access_denied",
    "{place} refused the deploy key or access token.",
    "Check that it is not expired or revoked and that it may read this repository.",
)
_NOT_FOUND = Failure(
    "access_denied",
    "There is no repository at {url}, or it is private.",
    "Check the address. For a private repository, add a deploy key or an access token.",
)
_NOT_A_REPOSITORY = Failure("clone_failed", "{url} is not a git repository.", "Check the address.")
_UNKNOWN_HOST = Failure("clone_failed", "The host {place} is not known.", "Check the address for a typing error.")
_NO_CONNECTION = Failure(
    "clone_failed",
    "{place} does not accept connections.",
    "Check the address and port, and that this server may reach it.",
)
_TLS = Failure(
    "clone_failed",
    "The certificate of {place} could not be verified.",
    "If it is signed by an authority of your own, an administrator sets GIT_SSL_CAINFO to its PEM file.",
)
_NO_TLS = Failure(
    "clone_failed",
    "{place} does not speak TLS at this port.",
    "Check the port, or use http if the server offers no https.",
)
_FORBIDDEN_TRANSPORT = Failure(
    "clone_failed",
    "The repository leads to an address that is not https or ssh.",
    "Change that address to https or ssh.",
)
_REDIRECT = Failure(
    "clone_failed",
    "{url} leads on to {target}, and redirects are not followed, because they could lead into this server's network.",
    "If you trust that address, use it as the repository's.",
)
_FULL = Failure("disk_full", "The disk of this server is full.", "An administrator has to free space.")
_LOST = Failure("clone_failed", "The connection to {place} was lost.", "Try again.")

_SIGNS: tuple[tuple[str, Failure], ...] = (
    (r"returned error: 30[12378]", _REDIRECT),
    (r"Load key .*(invalid format|error in libcrypto|incorrect passphrase)", _KEY_UNREADABLE),
    (r"HOST IDENTIFICATION HAS CHANGED|Host key verification failed", _HOST_KEY),
    (r"No space left on device|Disk quota exceeded|Out of diskspace", _FULL),
    (
        r"Could not resolve (host|proxy)|Name or service not known|[Nn]ame resolution|No address associated",
        _UNKNOWN_HOST,
    ),
    (r"wrong version number|unexpected TLS packet|plain HTTP|packet with unexpected length was received", _NO_TLS),
    (r"SSL certificate|certificate verification|self.signed certificate|gnutls_handshake|SSL_ERROR|SSL routines", _TLS),
    (r"transport '.*' not allowed|protocol '.*' is not supported|Unsupported protocol", _FORBIDDEN_TRANSPORT),
    (r"Authentication failed|Permission denied \(|HTTP Basic: Access denied|returned error: 403", _REFUSED),
    (r"could not read (Username|Password)|terminal prompts disabled|unable to read askpass|error: 401", _NO_ACCESS),
    (r"[Rr]epository .*not found|Repository not found|returned error: (404|410)|could not be found", _NOT_FOUND),
    (
        r"does not appear to be a git repo|not valid: is this a git repo|not a git repo|does not exist",
        _NOT_A_REPOSITORY,
    ),
    (r"Failed to connect|Couldn't connect|Connection (refused|timed out)|No route to host|unreachable", _NO_CONNECTION),
    (r"early EOF|RPC failed|disconnect|hung up unexpectedly|Connection reset|Empty reply|closed by", _LOST),
)
_NO_SUCH_REF = re.compile(r"couldn't find remote ref|Remote branch .* not found|no such remote ref", re.IGNORECASE)
_UNADVERTISED = re.compile(
    r"not our ref|unadvertised object|want .* not valid|not advertised|Direct fetching", re.IGNORECASE
)
_NOT_SHALLOW = re.compile(r"does not support shallow", re.IGNORECASE)


def explain(text: str, address: Address) -> Failure:
    """The failure a text of git's tells of; its last words if nothing known is in it."""
    known = next((failure for sign, failure in _SIGNS if re.search(sign, text)), None)
    if known is _REFUSED and not (address.credentials.token or address.credentials.ssh_key):
        known = _NO_ACCESS
    if known is _NO_ACCESS and address.credentials.token and address.kind == "http":
        known = _REFUSED
    place = re.sub(r"^\w+://", "", address.origin) or "This server"
    if known:
        target = _target(text)
        message = known.message.format(place=place, url=address.url, target=target or "another address")
        return Failure(known.cause, message, known.hint, target if known is _REDIRECT else "")
    return Failure("clone_failed", f"Git could not read {address.url}: {_last_words(text)}.", "")


def unknown_host(address: Address) -> Failure:
    return Failure(_UNKNOWN_HOST.cause, _UNKNOWN_HOST.message.format(place=address.host), _UNKNOWN_HOST.hint)


def to_invalid(failure: Failure) -> Invalid:
    """For a form: beside the address field."""
    error = invalid(failure.message, failure.hint)
    return error if not failure.leads_to else _leading(error, failure.leads_to)


def to_step(failure: Failure) -> StepFailed:
    """For a build."""
    error = StepFailed(failure.message, cause=failure.cause, hint=failure.hint)
    return error if not failure.leads_to else _leading(error, failure.leads_to)


def _leading(error: Error, target: str) -> Error:
    error.details["leads_to"] = target
    return error


def names_no_ref(text: str) -> bool:
    return bool(_NO_SUCH_REF.search(text))


def refuses_commit(text: str) -> bool:
    """Does the server hand out only the tips of its branches?"""
    return bool(_UNADVERTISED.search(text))


def refuses_shallow(text: str) -> bool:
    return bool(_NOT_SHALLOW.search(text))


def no_branch(ref: str, branches: Iterable[str]) -> StepFailed:
    """Names the branches nearest to the one that is not there, or says that there is none at all."""
    names = list(branches)
    if not names:
        return StepFailed(
            "The repository is empty: it has no commit yet.",
            cause="repository_empty",
            hint="Push a first commit, then deploy again.",
        )
    near = get_close_matches(ref, names, n=5, cutoff=0.4) or sorted(names)[:5]
    return StepFailed(
        f"The repository has no branch or tag {ref!r}.",
        cause="branch_not_found",
        hint=f"Branches near it: {', '.join(near)}." if len(near) > 1 else f"It has the branch {near[0]}.",
    )


def no_commit(commit: str) -> StepFailed:
    return StepFailed(
        f"The repository has no commit {commit[:12]}.",
        cause="commit_not_found",
        hint="It may have been removed by a forced push. Deploy a newer commit.",
    )


def no_submodule(text: str) -> StepFailed:
    """Names the submodule if git did."""
    named = re.search(r"submodule path '([^']+)'|Failed to clone '([^']+)'|for submodule path '([^']+)'", text)
    name = next((group for group in named.groups() if group), "") if named else ""
    if re.search(r"returned error: 30[12378]", text):
        target = _target(text) or "another one"
        return bad_submodule(name, f"its address leads on to {target}, and redirects are not followed.")
    return bad_submodule(name, f"{_last_words(text)}.")


def bad_submodule(name: str, reason: str) -> StepFailed:
    """`reason`: the end of a sentence, with its full stop."""
    return StepFailed(
        f"{f'The submodule {name}' if name else 'A submodule'} could not be fetched: {reason}",
        cause="submodule_failed",
        hint="Check its address in .gitmodules, that its commit was pushed, and that the key or token may read it.",
    )


def _target(text: str) -> str:
    """Where a redirect leads, as `render.told` wrote it down."""
    named = re.search(r"^redirected to (\S+)$", text, re.MULTILINE)
    return named[1] if named else ""


def _last_words(text: str) -> str:
    """The line that says most: git's own `fatal:` or `error:`, else the last one; without its full stop."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "ERROR:"))]
    return (telling or lines or ["it gave no reason"])[0 if telling else -1][:300].rstrip(".")
