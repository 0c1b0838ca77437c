"""PHP: Laravel and Symfony, Composer projects, and plain pages.

Served by PHP's own server with several worker processes: the base image holds no other web server, the edge in front
of it answers slow clients, speaks HTTP/2 and TLS, and a crashed worker is started again with the container.
"""

from __future__ import annotations

import re
from typing import Any

from devflow.features.deployments.rules.detect.render import Recipe, Tool
from devflow.features.deployments.rules.detect.runtimes import image
from devflow.features.deployments.rules.detect.source import Draft, Source
from devflow.features.deployments.rules.detect.tree import Tree, table
from devflow.features.deployments.rules.detect.values import Evidence

SLUGS = ("php", "laravel")
PORT = 8080
_CACHE = "/home/app/.composer-cache"
_ROOTS = ("public", "web", "htdocs", "www", "public_html", "")
_WORKERS = ("PHP_CLI_SERVER_WORKERS", "4")
# a base image of another make has PHP but no Composer
_COMPOSER = (
    "command -v composer > /dev/null || (apt-get update && apt-get install -y --no-install-recommends composer unzip "
    "git && rm -rf /var/lib/apt/lists/*)"
)
_ROUTER = "/home/app/router.php"
# PHP's server hands out every file under its root; what starts with a dot and Composer's files are nobody's business
_ROUTER_TEXT = """<?php
$path = urldecode(parse_url($_SERVER["REQUEST_URI"], PHP_URL_PATH) ?: "/");
if (preg_match("~/\\.(?!well-known/)|^/(vendor/|composer\\.|Procfile|Dockerfile)~i", $path)) {
    http_response_code(404);
    exit("Not found");
}
return false;
"""
_SERVER = "PHP's own server answers, with the number of processes in PHP_CLI_SERVER_WORKERS."


def plan(source: Source) -> Draft | None:
    """A plan when there is an index.php to serve; without Composer only when `keen`."""
    tree = source.tree
    composer = tree.json("composer.json") if tree.is_file("composer.json") else {}
    root = next((folder for folder in _ROOTS if tree.is_file(f"{folder}/index.php".lstrip("/"))), None)
    forced = source.wants(*SLUGS)
    if not forced and (root is None or not (tree.is_file("composer.json") or source.keen)):
        return None
    laravel = (tree.is_file("artisan") and "laravel/framework" in table(composer, "require")) or source.wants("laravel")
    wanted, by = _wanted(source, composer)
    choice = source.runtimes.choose("php", wanted, by)
    asked = source.overrides.start_command or source.procfile.web
    start = _start(root or "", laravel=laravel, own_router=tree.is_file("router.php"))
    notes = [] if asked else [_SERVER]
    if laravel and tree.is_file("package.json"):
        notes.append("package.json is not built here: commit the built assets, or add a Dockerfile that builds them.")
    return Draft(
        framework="laravel" if laravel else "php",
        title=f"Laravel, with PHP {choice.version}" if laravel else f"PHP {choice.version}",
        recipe=_recipe(tree, composer, choice.version, router=start.endswith(_ROUTER) and not asked),
        runtime="php",
        choice=choice,
        port=PORT,
        install=_install(tree, composer),
        start=start,
        evidence=_evidence(tree, composer, root),
        notes=tuple(notes),
        required=("APP_KEY",) if laravel else (),
    )


def _start(root: str, *, laravel: bool, own_router: bool) -> str:
    if laravel:  # its router hands files of public/ out and everything else to the framework
        server = "vendor/laravel/framework/src/Illuminate/Foundation/resources/server.php"
        return f"cd public && php -S 0.0.0.0:$PORT ../{server}"
    return f"php -S 0.0.0.0:$PORT -t {root or '.'} {'router.php' if own_router else _ROUTER}"


def _install(tree: Tree, composer: dict[str, Any]) -> str:
    packages = [name for name in table(composer, "require") if "/" in name]
    if not composer or not (packages or "autoload" in composer):
        return ""
    return "composer install --no-dev --no-interaction --prefer-dist --optimize-autoloader"


def _recipe(tree: Tree, composer: dict[str, Any], version: str, *, router: bool) -> Recipe:
    # Composer writes an autoloader over the sources and may run scripts of theirs, so it comes after them
    return Recipe(
        base=image("php", version),
        env=(("COMPOSER_CACHE_DIR", _CACHE),),
        tools=(Tool(_COMPOSER),) if _install(tree, composer) else (),
        cache=_CACHE,
        as_user=True,
        files=((_ROUTER, _ROUTER_TEXT),) if router else (),
        run_env=(_WORKERS,),
    )


def _wanted(source: Source, composer: dict[str, Any]) -> tuple[str | None, str]:
    tree = source.tree
    if source.overrides.php_version:
        return source.overrides.php_version, "The project's php_version"
    for name, pattern in ((".php-version", r"(?m)^\s*([^#\s]\S*)"), (".tool-versions", r"(?m)^php\s+(\S+)")):
        match = re.search(pattern, tree.peek(name))
        if match:
            return match[1], f"`{name}`"
    asked = table(composer, "require").get("php")
    return (asked, "`composer.json`") if isinstance(asked, str) else (None, "")


def _evidence(tree: Tree, composer: dict[str, Any], root: str | None) -> tuple[Evidence, ...]:
    says = []
    if composer:
        packages = [name for name in table(composer, "require") if "/" in name]
        says.append(Evidence("composer.json", ", ".join(packages[:3]) or "no packages"))
    if tree.is_file("composer.lock"):
        locked = tree.json("composer.lock").get("packages")
        says.append(
            Evidence("composer.lock", f"{len(locked)} packages, locked" if isinstance(locked, list) else "locked")
        )
    if root is not None:
        says.append(
            Evidence(f"{root}/index.php".lstrip("/"), f"served from {root}/" if root else "served from the root")
        )
    return tuple(says)
