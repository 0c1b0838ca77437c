"""What a Node project says about itself: packages, scripts, the package manager, the version it wants."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devflow.features.deployments.rules.detect.render import Tool
from devflow.features.deployments.rules.detect.tree import Tree, table
from devflow.features.deployments.rules.detect.values import Evidence

_HOOKS = ("preinstall", "install", "postinstall", "prepare", "preprepare")
_LOCKS = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "package-lock.json": "npm", "npm-shrinkwrap.json": "npm"}
_SETTINGS = (".npmrc", ".yarnrc", ".yarnrc.yml", ".pnpmfile.cjs", "pnpm-workspace.yaml")
_PNPM = {"5": "pnpm@7", "6": "pnpm@8", "9": "pnpm@10"}
"""The pnpm that writes a lock file of this format."""
_CACHES = {"npm": "/home/app/.npm", "pnpm": "/home/app/.pnpm-store", "yarn": "/home/app/.yarn-cache"}

_BERRY = (
    ("YARN_CACHE_FOLDER", _CACHES["yarn"]),
    ("YARN_ENABLE_GLOBAL_CACHE", "false"),
    ("YARN_NODE_LINKER", "node-modules"),
    ("YARN_IGNORE_PATH", "1"),
)


@dataclass(frozen=True)
class Manifest:
    """A package.json with the lock file beside it."""

    manager: str
    packages: Mapping[str, str]
    """Name -> the version asked for, shortened; development packages too."""
    scripts: Mapping[str, str]
    main: str
    install: str
    tools: tuple[Tool, ...]
    cache: str
    env: tuple[tuple[str, str], ...]
    files: tuple[str, ...]
    wanted: str | None
    wanted_by: str
    evidence: tuple[Evidence, ...]
    notes: tuple[str, ...]

    def has(self, *names: str) -> bool:
        return any(name in self.packages for name in names)

    def run(self, script: str) -> str:
        """The command that runs a script of package.json."""
        return f"{self.manager} run {script}"

    def start(self, script: str = "start") -> str:
        """The script's own command where it is a plain one: a package manager in between eats the stop signal.

        Programs of packages are found, as `node_modules/.bin` is on the PATH.
        """
        text = self.scripts.get(script, "").strip()
        hooked = f"pre{script}" in self.scripts or f"post{script}" in self.scripts
        indirect = re.search(r"[&|;`\\\n]|\$\(|\$npm_|^(?:npm|npx|yarn|pnpm|bun|run-[sp])\b", text)
        return self.run(script) if hooked or indirect else text


def read(tree: Tree) -> Manifest | None:
    """The project's package.json, or None; raises `StepFailed` when it is broken."""
    if not tree.is_file("package.json"):
        return None
    package = tree.json("package.json")
    packages = _packages(package)
    scripts = {key: value for key, value in table(package, "scripts").items() if isinstance(value, str)}
    lock = tree.first(*_LOCKS)
    manager, version = _manager(package, lock)
    tools, install, env = _installer(tree, manager, version, lock)
    wanted, by = _wanted(tree, package)
    main = package.get("main")
    notes = () if lock else (f"There is no lock file, so {manager} picks versions anew in every build; commit one.",)
    says = [Evidence("package.json", _summary(packages))]
    says += [Evidence(lock, _locked(tree, lock))] if lock else []
    says += [Evidence(by, wanted.strip()[:40])] if wanted and by != "package.json" else []
    return Manifest(
        manager=manager,
        packages=packages,
        scripts=scripts,
        main=main if isinstance(main, str) else "",
        install=install,
        tools=tools,
        cache=_CACHES[manager],
        env=env,
        files=_files(tree, package, packages, scripts, lock),
        wanted=wanted,
        wanted_by=f"`{by}`",
        evidence=tuple(says),
        notes=notes,
    )


def _packages(package: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for group in ("dependencies", "devDependencies"):
        for name, value in table(package, group).items():
            version = re.search(r"\d+(?:\.\d+)?", value) if isinstance(value, str) else None
            found[name] = version[0] if version else ""
    return found


def _manager(package: dict[str, Any], lock: str | None) -> tuple[str, str]:
    """(npm, yarn or pnpm; its version when package.json names it)."""
    field = package.get("packageManager")
    match = re.match(r"(npm|yarn|pnpm)@(\d+(?:\.\d+){0,2})", field) if isinstance(field, str) else None
    return (match[1], match[2]) if match else (_LOCKS[lock] if lock else "npm", "")


def _installer(
    tree: Tree, manager: str, version: str, lock: str | None
) -> tuple[tuple[Tool, ...], str, tuple[tuple[str, str], ...]]:
    if manager == "pnpm":
        line = re.search(r"(?m)^lockfileVersion:\s*['\"]?(\d+)", tree.peek("pnpm-lock.yaml"))
        name = f"pnpm@{version}" if version else _PNPM.get(line[1], "pnpm") if line else "pnpm"
        install = "pnpm install --frozen-lockfile" if lock else "pnpm install"
        return (_global(name),), install, (("npm_config_store_dir", _CACHES["pnpm"]), ("CI", "true"))
    if manager == "yarn" and _is_berry(tree, version):
        # npm's own `yarn` ends at 1.x; later ones are published under another name
        name = f"@yarnpkg/cli-dist@{version}" if version else "@yarnpkg/cli-dist"
        return (_global(name),), "yarn install --immutable" if lock else "yarn install", _BERRY
    if manager == "yarn":
        install = "yarn install --frozen-lockfile" if lock else "yarn install"
        return (_global(f"yarn@{version}" if version else "yarn@1"),), install, _BERRY[:1]
    return (), "npm ci" if lock in ("package-lock.json", "npm-shrinkwrap.json") else "npm install", ()


def _global(name: str) -> Tool:
    return Tool(f"npm install --global --force {name}", ("/root/.npm",))


def _is_berry(tree: Tree, version: str) -> bool:
    if version:
        return not version.startswith("1.") and version != "1"
    return tree.is_file(".yarnrc.yml") or "__metadata:" in tree.peek("yarn.lock")[:2000]


def _files(
    tree: Tree, package: dict[str, Any], packages: dict[str, str], scripts: dict[str, str], lock: str | None
) -> tuple[str, ...]:
    """What the install needs; () when that is the whole tree: workspaces, hooks, packages by path."""
    values = (value for group in ("dependencies", "devDependencies") for value in table(package, group).values())
    by_path = any(
        isinstance(value, str) and value.startswith(("file:", "link:", "portal:", "./", "../")) for value in values
    )
    workspace = "packages:" in tree.peek("pnpm-workspace.yaml") or "workspaces" in package
    hooks = any(hook in scripts for hook in _HOOKS)
    patched = tree.is_dir("patches") or tree.is_dir(".yarn") or tree.is_dir("prisma") or "pnpm" in package
    if by_path or workspace or hooks or patched:
        return ()
    return ("package.json", *((lock,) if lock else ()), *tree.present(*_SETTINGS))


def _wanted(tree: Tree, package: dict[str, Any]) -> tuple[str | None, str]:
    for name, pattern in (
        (".nvmrc", r"(?m)^\s*([^#\s]\S*)"),
        (".node-version", r"(?m)^\s*([^#\s]\S*)"),
        (".tool-versions", r"(?m)^node(?:js)?\s+(\S+)"),
    ):
        match = re.search(pattern, tree.peek(name))
        if match:
            return match[1], name
    engine = table(package, "engines").get("node")
    return (engine, "package.json") if isinstance(engine, str) else (None, "")


def _summary(packages: Mapping[str, str]) -> str:
    known = ("next", "nuxt", "@sveltejs/kit", "astro", "gatsby", "vite", "react", "vue", "svelte", "express", "fastify")
    names = [name for name in known if name in packages] or list(packages)
    return ", ".join(f"{name} {packages[name]}".strip() for name in names[:3]) or "no packages"


def _locked(tree: Tree, lock: str) -> str:
    text = tree.peek(lock)
    if lock.endswith(".json"):
        count = len(re.findall(r'(?m)^\s+"(?:[^"]*/)?node_modules/[^"]+":', text))
    else:
        count = len(re.findall(r"(?m)^\s*(?:resolution:|resolved )", text))
    return "locked" if not count else "1 package, locked" if count == 1 else f"{count} packages, locked"
