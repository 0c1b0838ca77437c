"""Submodules, one by one: each is another address, judged like the first, and found wherever a submodule has some."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from devflow.adapters.git import failures, render
from devflow.adapters.git.address import Address, parse
from devflow.adapters.git.guard import NoSuchHost
from devflow.adapters.git.run import Result, Runner
from devflow.core.errors import Invalid
from devflow.ports.git import Repository

Reach = Callable[[Address], Mapping[str, str]]
"""The environment in which git may reach this address; raises what `Guard.pin` raises."""

_EVERYTHING = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")


@dataclass(frozen=True)
class Submodules:
    """Those of the repository checked out from `address` in `folder`."""

    address: Address
    runner: Runner
    folder: Path
    reach: Reach

    def fetch(self) -> None:
        """Raises `StepFailed` (submodule_failed)."""
        if (self.folder / ".gitmodules").is_file():
            self.runner.on_line("Fetching submodules")
        waiting = [self.folder]
        while waiting:
            folder = waiting.pop()
            if (folder / ".git").exists() and (folder / ".gitmodules").is_file():
                self._must(self.runner, folder, "submodule", "init")
                for name, (path, url) in self._listed(folder).items():
                    self._update(folder, name, path, url)
                    waiting.append(folder / path)

    def _listed(self, folder: Path) -> dict[str, tuple[str, str]]:
        """Path and address by name. Git decides which are in use and what a relative address leads to."""
        urls = self._settings(folder, "--local", "url")
        paths = self._settings(folder, "--file=.gitmodules", "path")
        found = dict(paths)
        if len(found) != len(paths) or len(set(found.values())) != len(paths):
            raise failures.bad_submodule("", "two entries in .gitmodules share a name or a path.")
        return {name: (found[name], url) for name, url in urls if name in found}

    def _settings(self, folder: Path, source: str, key: str) -> list[tuple[str, str]]:
        asked = self.runner.git(
            "-C", str(folder), "config", source, "--null", "--get-regexp", rf"^submodule\..*\.{key}$"
        )
        pairs = [entry.partition("\n") for entry in asked.out.split("\0") if entry]
        return [(name.removeprefix("submodule.").removesuffix(f".{key}"), value) for name, _, value in pairs]

    def _update(self, folder: Path, name: str, path: str, url: str) -> None:
        """Shallow first; where a server gives only tips, with their history."""
        runner = replace(self.runner, environment=self._admit(name, url))
        update = ("--literal-pathspecs", "submodule", "update", "--force", "--progress")
        result = runner.git("-C", str(folder), *update, "--depth=1", "--", path)
        if failures.refuses_commit(result.err):
            self._must(runner, folder / path, "fetch", "--progress", "--unshallow", "origin", *_EVERYTHING)
            result = runner.git("-C", str(folder), *update, "--", path)
        if not result.ok:
            raise failures.no_submodule(self._told(runner, result))

    def _admit(self, name: str, url: str) -> Mapping[str, str]:
        try:
            address = parse(Repository(url, allow_local=self.address.kind == "local"))
            if not _reads_one_way(url, address):
                raise failures.bad_submodule(name, "its address names no host plainly.")
            return self.reach(address)
        except Invalid as error:
            raise failures.bad_submodule(name, error.message) from error
        except NoSuchHost as error:
            raise failures.bad_submodule(name, f"the host {address.host} is not known.") from error

    def _must(self, runner: Runner, folder: Path, *arguments: str) -> None:
        result = runner.git("-C", str(folder), *arguments)
        if not result.ok:
            raise failures.no_submodule(self._told(runner, result))

    def _told(self, runner: Runner, result: Result) -> str:
        return render.masked(render.told(result.err, runner.environment), self.address).replace(f"{self.folder}/", "")


def _reads_one_way(url: str, address: Address) -> bool:
    """Git is given a submodule's address as it stands, so it must not read another host in it than `parse` did."""
    place = re.escape(address.origin.partition("://")[2])
    return address.kind != "http" or bool(re.match(rf"https?://(?:[^@/\\?#\s]*@)?{place}(?:[/?]|$)", url, re.I))
