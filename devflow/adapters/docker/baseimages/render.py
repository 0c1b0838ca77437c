"""Recipe and host in, commands and build contexts out. Pure, except for reading the Dockerfiles next to it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

from devflow.adapters.docker.baseimages.catalogue import Recipe
from devflow.adapters.docker.baseimages.host import Host, Mirrors

LABEL = "devflow.base"
"""On every image made here. Users' images inherit it, so it is only looked at together with the name."""
DIGEST_LABEL = "devflow.base.recipe"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_TRUSTING = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CACHES = ("var/cache/apt/*.bin", "var/cache/apt/archives/*.deb", "var/lib/apt/lists/*")
_LEFTOVERS = ("etc/hostname", "etc/resolv.conf", *_CACHES)
_EXCLUDED = ("doc", "man", "locale", "info")


def environment(host: Host) -> dict[str, str]:
    """Variables of every root image. The CA ones only where the host trusts more than its distribution does."""
    trust = dict.fromkeys(_TRUSTING, BUNDLE) if host.certificates else {}
    return {"PATH": _PATH, **trust, **host.indexes}


def bootstrap_command(recipe: Recipe, mirrors: Mirrors, certificates: Path | None, output: Path) -> list[str]:
    """mmdebstrap's argv for a root image; `certificates` is a folder of *.crt the host trusts besides."""
    command = ["mmdebstrap", "--variant=minbase", "--include=ca-certificates"]
    command += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _EXCLUDED]
    command += ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    command += [f"--keyring={path}" for path in mirrors.keyrings]
    if certificates is not None:
        command += [
            f'--customize-hook=cp {certificates}/*.crt "$1"/usr/local/share/ca-certificates/',
            '--customize-hook=chroot "$1" update-ca-certificates',
        ]
    command += [
        f'--customize-hook=install -m 644 {recipe.folder}/root-docker-clean "$1"/etc/apt/apt.conf.d/docker-clean',
        f'--customize-hook=install -m 755 {recipe.folder}/root-policy-rc.d "$1"/usr/sbin/policy-rc.d',
    ]
    # Its own clean-up would run apt once more, under the settings just put there, and leave a cache behind.
    command += ["--skip=cleanup/apt", f'--customize-hook=cd "$1" && rm -rf {" ".join(_LEFTOVERS)}']
    command += [recipe.suite, str(output)]
    return command + source_lines(recipe.suite, mirrors)


def source_lines(suite: str, mirrors: Mirrors) -> list[str]:
    """apt's lines for a suite; empty when the host names no mirror (mmdebstrap then takes its own)."""
    if not mirrors.main:
        return []
    lines = [f"deb {mirrors.main} {suite} main", f"deb {mirrors.main} {suite}-updates main"]
    return lines + ([f"deb {mirrors.security} {suite}-security main"] if mirrors.security else [])


def import_changes(host: Host, labels: Mapping[str, str]) -> list[str]:
    """Dockerfile instructions for `docker import`: a plain root file system has neither PATH nor a command."""
    changes = [f"ENV {name}={json.dumps(value)}" for name, value in environment(host).items()]
    changes += [f"LABEL {name}={json.dumps(value)}" for name, value in labels.items()]
    return [*changes, 'CMD ["bash"]']


def labels(recipe: Recipe, recipes: Mapping[str, Recipe], host: Host) -> dict[str, str]:
    return {LABEL: "1", DIGEST_LABEL: digest(recipe, recipes, host)}


def digest(recipe: Recipe, recipes: Mapping[str, Recipe], host: Host) -> str:
    """Changes when the recipe, one below it, or what the host adds changes: the image is out of date then."""
    sha = hashlib.sha256(repr((recipe.suite, recipe.parent, sorted(recipe.args.items()))).encode())
    for path in _files(recipe):
        sha.update(path.name.encode() + path.read_bytes())
    if recipe.parent in recipes:
        sha.update(digest(recipes[recipe.parent], recipes, host).encode())
    elif recipe.suite:
        command = " ".join(bootstrap_command(recipe, host.mirrors, None, Path("out"))).replace(str(recipe.folder), "")
        sha.update(repr((command, environment(host), host.certificates)).encode())
    return sha.hexdigest()[:16]


def build_arguments(recipe: Recipe, host: Host) -> dict[str, str]:
    return {"PARENT": recipe.parent, **recipe.args, **host.proxies}


def context(recipe: Recipe) -> bytes:
    """The build context as a tar: the Dockerfile and the files of the same runtime next to it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in _files(recipe):
            data = path.read_bytes()
            info = tarfile.TarInfo("Dockerfile" if path.suffix == ".Dockerfile" else path.name)
            info.size, info.mode = len(data), 0o755 if path.stat().st_mode & 0o100 else 0o644
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def lineage(recipe: Recipe, recipes: Mapping[str, Recipe]) -> list[Recipe]:
    """The recipe with everything below it, the root first."""
    chain = [recipe]
    while chain[0].parent in recipes:
        chain.insert(0, recipes[chain[0].parent])
    return chain


def _files(recipe: Recipe) -> list[Path]:
    """The Dockerfile, and the files whose name begins like its own; a root has only such files."""
    if not recipe.dockerfile:
        return sorted(recipe.folder.glob("root-*"))
    name = recipe.dockerfile
    beside = [p for p in sorted(recipe.folder.glob(f"{name}*")) if p.suffix != ".Dockerfile"]
    return [recipe.folder / f"{name}.Dockerfile", *beside]
