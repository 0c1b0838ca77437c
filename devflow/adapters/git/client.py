"""Git in operation: asks remotes and checks out commits."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from devflow.adapters.git import failures, render
from devflow.adapters.git.address import Address, parse
from devflow.adapters.git.guard import Guard, NoSuchHost
from devflow.adapters.git.run import Result, Runner, TimedOut
from devflow.adapters.git.submodules import Reach, Submodules
from devflow.core.errors import Invalid, StepFailed, Unavailable
from devflow.ports.git import CheckoutLimits, Commit, Credentials, Remote, Repository

_FULL_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHA = re.compile(r"[0-9a-f]{7,64}")
_BAD_REF = re.compile(r"^[-/.]|\.\.|[\x00-\x20\x7f~^:?*\[\\]|@\{|//|/$|\.lock$|\.$")
_DEEPER = ("--depth=50", "--depth=1000", "--unshallow")


_HOPS = 3
"""Redirects that are followed, one after the other."""
Found = TypeVar("Found")


class GitClient:
    """`devflow.ports.git.Git` by the git command line.

    `folder` keeps `known_hosts`: a server's ssh key is trusted at first sight and then held to.
    `allow_private`: may people name hosts of this machine and the networks around it, and be redirected?
    """

    def __init__(self, folder: Path, allow_private: bool = False) -> None:
        self.folder, self.allow_private = folder.resolve(), allow_private

    def probe(self, repository: Repository, timeout: float = 15) -> Remote:
        return _following(repository, lambda asked: self._probe(asked, timeout))

    def _probe(self, repository: Repository, timeout: float) -> Remote:
        address = parse(repository)
        deadline = time.monotonic() + timeout
        with self._reach(address, deadline, lambda: False) as reach:
            try:
                runner = Runner(reach(address), deadline)
                result = runner.git("ls-remote", "--symref", "--", address.url, "HEAD", "refs/heads/*")
            except NoSuchHost as error:
                raise failures.to_invalid(failures.unknown_host(address)) from error
            except TimedOut as error:
                raise Unavailable(f"{address.origin or address.url} did not answer within {timeout:g} s.") from error
            told = render.masked(render.told(result.err, runner.environment), address)
        if not result.ok:
            raise failures.to_invalid(failures.explain(told, address))
        return render.remote(result.out)

    def checkout(
        self,
        repository: Repository,
        ref: str,
        commit: str | None,
        destination: Path,
        limits: CheckoutLimits,
        on_line: Callable[[str], None],
        cancelled: Callable[[], bool],
    ) -> Commit:
        """The files alone: `.git` is gone afterwards, so history and addresses stay out of the image.

        On any error the destination is removed."""
        return _following(
            repository, lambda asked: self._checkout(asked, ref, commit, destination, limits, on_line, cancelled)
        )

    def _checkout(
        self,
        repository: Repository,
        ref: str,
        commit: str | None,
        destination: Path,
        limits: CheckoutLimits,
        on_line: Callable[[str], None],
        cancelled: Callable[[], bool],
    ) -> Commit:
        address = parse(repository)
        destination.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + limits.seconds
        with self._reach(address, deadline, cancelled) as reach:
            runner = Runner(
                {},
                deadline,
                folder=destination,
                size=limits.size,
                on_line=lambda line: on_line(render.masked(line, address).replace(f"{destination}/", "")),
                cancelled=cancelled,
                cwd=destination,
            )
            try:
                return _Checkout(address, runner, destination, reach).at(ref, commit)
            except TimedOut as error:
                shutil.rmtree(destination, ignore_errors=True)
                raise StepFailed(
                    f"The repository was not fetched within {limits.seconds:g} s.",
                    cause="clone_timeout",
                    hint="Try again. If it is just large, an administrator can raise CLONE_TIMEOUT.",
                ) from error
            except BaseException:
                shutil.rmtree(destination, ignore_errors=True)
                raise

    @contextmanager
    def _reach(self, address: Address, deadline: float, cancelled: Callable[[], bool]) -> Iterator[Reach]:
        """What one run may know and where it may go, with its secrets in a folder that only lives as long."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(prefix="devflow-git-") as name:
            private = Path(name)
            _write(private / "askpass", render.ASKPASS, 0o700)
            if key := address.credentials.ssh_key:
                _write(private / "key", key.replace("\r\n", "\n").strip() + "\n", 0o600)
            known_hosts = self.folder / "known_hosts"
            guard = Guard(self.allow_private, self._host_config.get("http.proxy", ""))

            def reach(target: Address) -> dict[str, str]:
                pin = guard.pin(target, deadline, cancelled)
                return render.environment(os.environ, address, private, known_hosts, self._host_config, pin)

            yield reach

    @cached_property
    def _host_config(self) -> dict[str, str]:
        """How the host itself reaches the world: its proxy and the authorities it trusts."""
        found = {}
        for key in render.HOST_CONFIG:
            asked = subprocess.run(
                ("git", "config", "--get", key), capture_output=True, text=True, cwd="/", check=False
            )
            if asked.returncode == 0 and asked.stdout.strip():
                found[key] = asked.stdout.strip()
        return found


def _following(repository: Repository, attempt: Callable[[Repository], Found]) -> Found:
    """Try, and go where the server leads: each address is judged and pinned like the first one.

    Git itself follows nothing, because what it follows is not judged.
    """
    for _ in range(_HOPS):
        try:
            return attempt(repository)
        except (Invalid, StepFailed) as error:
            target = error.details.get("leads_to", "")
            if not target or (repository.url.startswith("https://") and not target.startswith("https://")):
                raise
            repository = _moved(repository, target)
    return attempt(repository)


def _moved(repository: Repository, target: str) -> Repository:
    """The repository at its new address. Its credential stays with the server it was given for."""
    old, new = urlsplit(repository.url), urlsplit(target)
    same = (old.scheme, old.netloc.lower()) == (new.scheme, new.netloc.lower())
    return Repository(target, repository.credentials if same else Credentials(), repository.allow_local)


class _Checkout:
    """One checkout: fetch, lay out the files, submodules, and take everything away that is not source."""

    def __init__(self, address: Address, runner: Runner, folder: Path, reach: Reach) -> None:
        self.address, self.runner, self.folder, self.reach = address, runner, folder, reach

    def at(self, ref: str, commit: str | None) -> Commit:
        self._find_host()
        ref, commit = ref.strip(), (commit or "").strip().lower()
        if _FULL_SHA.fullmatch(ref) and not commit:
            commit = ref
        if ref and _BAD_REF.search(ref):
            raise failures.no_branch(ref, self._names())
        if commit and not _SHA.fullmatch(commit):
            raise failures.no_commit(commit)
        self.runner.on_line(
            f"Cloning {self.address.url}, {f'commit {commit[:12]}' if commit else ref or 'default branch'}"
        )
        self._must("init", "--quiet", "--template=")
        self._must("remote", "add", "origin", self.address.url)
        self._lay_out(self._fetch_commit(ref, commit) if commit else self._fetch_ref(ref))
        Submodules(self.address, self.runner, self.folder, self.reach).fetch()
        found = render.commit(self._must("log", "-1", f"--format={render.COMMIT_FORMAT}").out)
        self.runner.check_size()
        _drop_history(self.folder)
        check_links(self.folder)
        self.runner.on_line(f"Checked out {found.sha[:12]}: {found.message}")
        return found

    def _find_host(self) -> None:
        try:
            self.runner.environment = self.reach(self.address)
        except NoSuchHost as error:
            raise failures.to_step(failures.unknown_host(self.address)) from error

    def _fetch_ref(self, ref: str) -> str:
        """A branch before a tag of the same name: deployments follow branches."""
        candidates = (
            [ref or "HEAD"] if ref.startswith("refs/") or not ref else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
        )
        for candidate in candidates:
            result = self._fetch("--depth=1", candidate)
            if result.ok:
                return "FETCH_HEAD"
            if not failures.names_no_ref(result.err):
                raise self._failed(result)
        raise failures.no_branch(ref or "HEAD", self._names())

    def _fetch_commit(self, ref: str, commit: str) -> str:
        """The commit alone; where the server only gives tips of branches, more and more history until it is there."""
        if _FULL_SHA.fullmatch(commit):
            result = self._fetch("--depth=1", commit)
            if result.ok:
                return commit
            if not failures.refuses_commit(result.err) and not failures.names_no_ref(result.err):
                raise self._failed(result)
        source = ref if ref.startswith("refs/") else f"refs/heads/{ref}" if ref and ref != commit else "HEAD"
        for depth in _DEEPER:
            if not self._fetch(depth, source).ok:
                break
            if self._has(commit):
                return commit
        result = self._fetch("--unshallow", "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
        if not result.ok:
            raise self._failed(result)
        if not self._has(commit):
            raise failures.no_commit(commit)
        return commit

    def _fetch(self, depth: str, *sources: str) -> Result:
        whole = depth == "--unshallow" and not (self.folder / ".git/shallow").exists()  # git refuses to unshallow twice
        result = self.runner.git("fetch", "--progress", "--no-tags", *(() if whole else (depth,)), "origin", *sources)
        if not result.ok and failures.refuses_shallow(result.err):
            result = self.runner.git("fetch", "--progress", "--no-tags", "origin", *sources)
        return result

    def _lay_out(self, commit: str) -> None:
        result = self.runner.git("checkout", "--quiet", "--force", "--detach", f"{commit}^{{commit}}")
        if not result.ok:
            raise self._failed(result)

    def _names(self) -> list[str]:
        """Branches and tags of the remote, for a helpful answer."""
        result = self.runner.git("ls-remote", "--heads", "--tags", "--refs", "--", self.address.url)
        if not result.ok:
            raise self._failed(result)
        return [re.sub(r"^refs/(heads|tags)/", "", line.partition("\t")[2]) for line in result.out.splitlines()]

    def _has(self, commit: str) -> bool:
        return self.runner.git("cat-file", "-e", f"{commit}^{{commit}}").ok

    def _must(self, *arguments: str) -> Result:
        result = self.runner.git(*arguments)
        if not result.ok:
            raise self._failed(result)
        return result

    def _failed(self, result: Result) -> StepFailed:
        told = render.masked(render.told(result.err, self.runner.environment), self.address)
        return failures.to_step(failures.explain(told, self.address))


def check_links(folder: Path) -> None:
    """Raises `StepFailed` (unsafe_symlink) naming the first link that leads out of the folder."""
    top = folder.resolve()
    for place, folders, files in os.walk(top):
        for path in (Path(place) / name for name in (*folders, *files)):
            if path.is_symlink() and not path.resolve().is_relative_to(top):
                raise StepFailed(
                    f"The link {path.relative_to(top)} leads out of the repository.",
                    cause="unsafe_symlink",
                    hint="Replace the link with the file itself, or remove it.",
                )


def _drop_history(folder: Path) -> None:
    """The repository's `.git` and those of its submodules, which are files."""
    for place, folders, files in os.walk(folder):
        if ".git" in folders:
            folders.remove(".git")
            shutil.rmtree(Path(place) / ".git")
        if ".git" in files:
            (Path(place) / ".git").unlink()


def _write(path: Path, text: str, mode: int) -> None:
    path.touch(mode=mode)
    path.write_text(text, encoding="utf-8")
