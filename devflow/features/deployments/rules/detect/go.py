"""Go: a module with a main package, built into one binary that runs on a slim base."""

from __future__ import annotations

import re

from devflow.features.deployments.rules.detect.render import Recipe
from devflow.features.deployments.rules.detect.runtimes import image
from devflow.features.deployments.rules.detect.source import Draft, Source
from devflow.features.deployments.rules.detect.tree import Tree, broken
from devflow.features.deployments.rules.detect.values import Evidence

SLUGS = ("go",)
PORT = 8080
RUNNER = "debian:13-slim"
"""A base with a shell: the release phase and the terminal need one, and its layers are shared by all Go apps."""
_CACHE = "/home/app/.go-cache"
_USUAL = ("server", "web", "api", "app", "http", "main")


def plan(source: Source) -> Draft | None:
    """A plan when there is a Go module (or a lone main package) to build."""
    tree = source.tree
    module = tree.first("go.work", "go.mod")
    packages = _main_packages(tree)
    if not (module or (source.wants("go") and packages)):
        return None
    wanted, name, by = _module(tree)
    choice = source.runtimes.choose("go", f">={wanted}" if wanted else None, f"`{by}`")
    package = _best(packages, name)
    if package is None and not source.overrides.build_command:
        return None
    target = f"./{package}" if package else "."
    notes = []
    if len(packages) > 1:
        others = ", ".join(f"./{other}" if other else "." for other in packages if other != package)
        notes.append(
            f"{target} is built; there are other main packages: {others}. Set the build command to change that."
        )
    vendored = tree.is_file("vendor/modules.txt")
    return Draft(
        framework="go",
        title=f"Go {choice.version}",
        recipe=_recipe(tree, module, choice.version),
        runtime="go",
        choice=choice,
        port=PORT,
        install="" if vendored or not tree.is_file("go.sum") else "go mod download",
        build=f"go build -trimpath -ldflags='-s -w' -o bin/app {target}",
        start="./bin/app",
        evidence=(
            *((Evidence(module, f"module {name}" if name else "workspace"),) if module else ()),
            *((Evidence(f"{package}/main.go".lstrip("/"), "package main"),) if package is not None else ()),
        ),
        notes=tuple(notes),
    )


def _recipe(tree: Tree, module: str | None, version: str) -> Recipe:
    return Recipe(
        base=image("go", version),
        env=(("CGO_ENABLED", "0"), ("GOMODCACHE", f"{_CACHE}/mod"), ("GOCACHE", f"{_CACHE}/build")),
        cache=_CACHE,
        manifests=() if module != "go.mod" or _replaced(tree) else tree.present("go.mod", "go.sum"),
        as_user=True,
        build_caches=(_CACHE,),
        runner=RUNNER,
    )


def _module(tree: Tree) -> tuple[str, str, str]:
    """(version wanted, last part of the module's name, file that says so)."""
    if not tree.is_file("go.mod"):
        text = tree.peek("go.work")
        found = re.search(r"(?m)^go\s+(\d+(?:\.\d+)*)", text)
        return found[1] if found else "", "", "go.work"
    text = tree.text("go.mod")
    module = re.search(r"(?m)^module\s+\"?([^\s\"]+)", text)
    if module is None:
        raise broken("go.mod", "it has no `module` line")
    found = re.search(r"(?m)^go\s+(\d+(?:\.\d+)*)", text)
    parts = [part for part in module[1].split("/") if not re.fullmatch(r"v\d+", part)]
    return found[1] if found else "", parts[-1] if parts else "", "go.mod"


def _main_packages(tree: Tree) -> list[str]:
    """Folders with a `func main` of `package main`, nearest the root first."""
    folders = ["", *(f"cmd/{name}" for name in tree.folders("cmd")), "cmd", *tree.folders()]
    skipped = {"vendor", "testdata", "examples", "tools", "test", "internal"}
    return [f for f in dict.fromkeys(folders) if f not in skipped and _is_main(tree, f)]


def _is_main(tree: Tree, folder: str) -> bool:
    for name in tree.files(folder, ".go"):
        text = tree.peek(f"{folder}/{name}".lstrip("/")) if not name.endswith("_test.go") else ""
        if re.search(r"(?m)^package main\b", text) and re.search(r"(?m)^func main\(\)", text):
            return not re.search(r"(?m)^//go:build ignore", text)
    return False


def _best(packages: list[str], name: str) -> str | None:
    if "" in packages:
        return ""
    for wanted in (name, *_USUAL):
        for package in packages:
            if package.rpartition("/")[2] == wanted:
                return package
    return packages[0] if packages else None


def _replaced(tree: Tree) -> bool:
    """Does the module stand on another one by its path?"""
    return bool(re.search(r"=>\s*\.{1,2}/", tree.peek("go.mod"))) or tree.is_file("vendor/modules.txt")
