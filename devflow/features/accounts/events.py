"""Facts about accounts."""

from __future__ import annotations

from dataclasses import dataclass

from devflow.core.events import fact


@fact
@dataclass(frozen=True)
class AccountCreated:
    user_id: str
    name: str


@fact
@dataclass(frozen=True)
class PasswordForgotten:
    """Somebody asked for a link to a new password, whether or not there is such an account."""

    email: str
    ip: str
    agent: str
    request_id: str
    asked: str


@fact
@dataclass(frozen=True)
class AccountReclaimed:
    """The owner of an address took over its account, which somebody had made without ever confirming the address."""

    user_id: str


@fact
@dataclass(frozen=True)
class GithubLeft:
    """A GitHub account is connected here no more; `sealed_token` stands for what its owner had granted."""

    github_id: str
    sealed_token: str
    left: str


@fact
@dataclass(frozen=True)
class AccountDeleted:
    user_id: str
    email: str
