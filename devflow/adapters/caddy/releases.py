"""Which release each site serves, as files that Caddy reads for every request.

`sites/<key>/current` is a link to `sites/<key>/releases/<kind>-<version>/`, which holds `slot` (its own name), `dial`
(`address:port`), and for files `root`, a link to them. One rename of `current` is the whole switch. A site without a
release points to `releases/none`: Caddy would log an error for each request that finds no file.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devflow.adapters.caddy.render import check_name
from devflow.core.errors import Invalid, StepFailed
from devflow.ports.edge import AppRelease, Release, StaticRelease

_KEPT = 3
_NONE = "none"
_NOWHERE = f"releases/{_NONE}"
_ADDRESS = re.compile(r"[A-Za-z0-9.-]+|[0-9A-Fa-f:.]+")


def slot(release: Release) -> str:
    """The folder name of a release: its kind and version in one word, so that both change together."""
    return f"{'app' if isinstance(release, AppRelease) else 'static'}-{check_name(release.version)}"


class Releases:
    """The release folders of every site. Safe for several processes on one file system."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def switch(self, key: str, release: Release) -> None:
        """Point `key` at `release` by one rename. Raises `StepFailed` if its files are not fit to be served."""
        if isinstance(release, StaticRelease):
            check_tree(release.root)
        site, name = self.folder / check_name(key), slot(release)
        target = site / "releases" / name
        with _alone(site):
            target.mkdir(parents=True, exist_ok=True)
            before = _link(site / "current")
            _fill(target, release, site / before if before else None)
            if before != f"releases/{name}":
                _put_link(site / "current", f"releases/{name}")
            _prune(site / "releases", {name, Path(before or "").name})

    def current(self, key: str) -> Release | None:
        """The release being served, as it was switched to."""
        site = self.folder / check_name(key)
        if (place := _link(site / "current")) is None or Path(place).name == _NONE:
            return None
        kind, _, version = Path(place).name.partition("-")
        try:
            if kind == "static":
                return StaticRelease(version, (site / place / "root").readlink())
            address, _, port = (site / place / "dial").read_text(encoding="ascii").strip().rpartition(":")
            return AppRelease(version, address.strip("[]"), int(port))
        except (FileNotFoundError, ValueError):
            return None

    def withdraw(self, key: str) -> None:
        """Serve nothing for `key`. Doing it twice is fine."""
        site = self.folder / check_name(key)
        if site.is_dir():
            with _alone(site):
                _serve_nothing(site)

    def reserve(self, keys: set[str]) -> None:
        """Have a folder for each of these sites, and drop those of other sites that serve nothing."""
        for key in keys:
            site = self.folder / key
            if _link(site / "current") is None:
                with _alone(site):
                    if _link(site / "current") is None:
                        _serve_nothing(site)
        for site in self.folder.glob("*"):
            if site.name not in keys and _link(site / "current") == _NOWHERE:
                with _alone(site):
                    if _link(site / "current") == _NOWHERE:  # a switch may have been faster
                        shutil.rmtree(site, ignore_errors=True)

    def sites_serving(self, release: Release) -> list[Path]:
        """Folders of the sites that know this release, current or not."""
        return [place.parent.parent for place in self.folder.glob(f"*/releases/{slot(release)}")]


def check_tree(root: Path) -> None:
    """Raises `StepFailed` if the folder is missing, or holds a link that leads out of it, a pipe or a device."""
    try:
        top = root.resolve(strict=True)
        names = [Path(folder) / name for folder, folders, files in os.walk(top) for name in (*folders, *files)]
    except OSError as error:
        raise _missing_output(root) from error
    if not top.is_dir():
        raise _missing_output(root)
    for path in names:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) and not path.resolve().is_relative_to(top):
            raise StepFailed(
                f"The link {path.relative_to(top)} leads out of the site's folder: other files could be read.",
                cause="unsafe_symlink",
                hint="Replace the link with the file itself, or remove it from the build output.",
            )
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            raise StepFailed(
                f"{path.relative_to(top)} is neither a file nor a folder, so it cannot be served.",
                cause="unsafe_file",
                hint="Remove pipes, sockets and devices from the build output.",
            )


def _missing_output(root: Path) -> StepFailed:
    return StepFailed(
        f"There is no folder {root.name} to publish.",
        cause="output_missing",
        hint="Check the project's output directory and that the build writes into it.",
    )


def _fill(target: Path, release: Release, before: Path | None) -> None:
    """Write the release's folder; each file appears whole, so this may happen while it is being served."""
    if isinstance(release, AppRelease):
        _put_file(target / "dial", _dial(release))
    else:
        _put_link(target / "root", str(release.root.resolve()))
        if before and before.name != target.name:
            _hand_over(target, before)
    _put_file(target / "slot", target.name)


def _hand_over(target: Path, before: Path) -> None:
    """A request that began under the release before still finds what it needs: the app's address, or old assets."""
    if (before / "root").is_symlink():
        _put_link(target / "previous", f"../{before.name}")
    if (before / "dial").is_file():
        _put_file(target / "dial", (before / "dial").read_text(encoding="ascii"))


def _dial(release: AppRelease) -> str:
    if not _ADDRESS.fullmatch(release.address) or not 0 < release.port < 65536:
        raise Invalid(f"{release.address}:{release.port} is not an address an app can answer at.")
    return f"[{release.address}]:{release.port}" if ":" in release.address else f"{release.address}:{release.port}"


def _serve_nothing(site: Path) -> None:
    place = site / "releases" / _NONE
    place.mkdir(parents=True, exist_ok=True)
    if not (place / "slot").is_file():
        _put_file(place / "slot", _NONE, durable=False)
    _put_link(site / "current", _NOWHERE)


def _prune(releases: Path, keep: set[str]) -> None:
    """Forget old releases. The newest few stay, for requests still being answered."""
    newest = sorted(releases.iterdir(), key=lambda place: place.stat().st_mtime, reverse=True)
    for place in newest[_KEPT:]:
        if place.name not in keep:
            shutil.rmtree(place, ignore_errors=True)


def _link(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except (FileNotFoundError, NotADirectoryError):
        return None


def _put_link(path: Path, target: str) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    draft.symlink_to(target)
    draft.replace(path)


def _put_file(path: Path, text: str, durable: bool = True) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    with draft.open("w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        if durable:  # after a power cut the name must not lead to an empty file
            os.fsync(file.fileno())
    draft.replace(path)


@contextmanager
def _alone(site: Path) -> Iterator[None]:
    site.mkdir(parents=True, exist_ok=True)
    with (site / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
