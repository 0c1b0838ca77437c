"""Ruby: Rails, Rack applications such as Sinatra, and plain programs."""

from __future__ import annotations

import re

from devflow.features.deployments.rules.detect.render import Recipe, Tool
from devflow.features.deployments.rules.detect.runtimes import image
from devflow.features.deployments.rules.detect.source import Draft, Source
from devflow.features.deployments.rules.detect.tree import Tree
from devflow.features.deployments.rules.detect.values import Evidence

SLUGS = ("rails", "ruby")
PORT = 9292
_PROGRAMS = ("app.rb", "main.rb", "server.rb")
_HEADERS = {
    "pg": "libpq-dev",
    "mysql2": "default-libmysqlclient-dev",
    "sqlite3": "libsqlite3-dev",
    "psych": "libyaml-dev",
}


def plan(source: Source) -> Draft | None:
    """A plan when there is a Rack application, or a Ruby program with a Gemfile."""
    tree = source.tree
    gemfile = tree.text("Gemfile") if tree.is_file("Gemfile") else ""
    gems = frozenset(re.findall(r"""(?m)^\s*gem\s*\(?\s*["']([\w.-]+)["']""", gemfile))
    locked = frozenset(re.findall(r"(?m)^    ([\w.-]+) \(", tree.peek("Gemfile.lock")))
    rails = "rails" in gems | locked or source.wants("rails")
    start = _start(tree, gems | locked, rails=rails, keen=source.keen or source.wants("ruby"))
    if (
        not start
        and not (gemfile and (source.overrides.start_command or source.procfile.web))
        and not source.wants(*SLUGS)
    ):
        return None
    wanted, by = _wanted(tree, gemfile)
    choice = source.runtimes.choose("ruby", wanted, f"`{by}`")
    asked = bool(source.overrides.start_command or source.procfile.web)
    puma = not asked and "puma" in start and "puma" not in gems | locked
    title = "Rails" if rails else "Sinatra" if "sinatra" in gems else "Rack" if tree.is_file("config.ru") else ""
    notes = ["puma is installed to serve the app; add it to the Gemfile to pin it."] if puma else []
    if rails and tree.is_dir("db/migrate"):
        notes.append("Migrations do not run by themselves: add `release: bin/rails db:migrate` to a Procfile.")
    return Draft(
        framework="rails" if rails else "ruby",
        title=f"{title}, with Ruby {choice.version}" if title else f"Ruby {choice.version}",
        recipe=_recipe(tree, gems | locked, choice.version, install=bool(gemfile) or puma, puma=puma),
        runtime="ruby",
        choice=choice,
        port=PORT if not rails else 3000,
        install="bundle install" if gemfile else "",
        build=_assets(tree, gems | locked) if rails else "",
        start=start,
        evidence=_evidence(tree, gems, locked, gemfile),
        notes=tuple(notes),
        required=_required(tree) if rails else (),
    )


def _start(tree: Tree, gems: frozenset[str], *, rails: bool, keen: bool) -> str:
    if rails and tree.is_file("config.ru"):
        return "bundle exec puma --bind tcp://0.0.0.0:$PORT"
    if tree.is_file("config.ru"):
        return "bundle exec puma --bind tcp://0.0.0.0:$PORT config.ru"
    program = tree.first(*_PROGRAMS)
    if program is None or not (gems or keen):
        return ""
    run = f"bundle exec ruby {program}" if gems else f"ruby {program}"
    return run + (" -o 0.0.0.0 -p $PORT" if "sinatra" in gems else "")


def _assets(tree: Tree, gems: frozenset[str]) -> str:
    pipeline = bool(gems & {"sprockets-rails", "propshaft", "sprockets"}) and tree.is_dir("app/assets")
    return "SECRET_KEY_BASE_DUMMY=1 bundle exec rails assets:precompile" if pipeline else ""


def _required(tree: Tree) -> tuple[str, ...]:
    return ("RAILS_MASTER_KEY",) if tree.is_file("config/credentials.yml.enc") else ("SECRET_KEY_BASE",)


def _recipe(tree: Tree, gems: frozenset[str], version: str, *, install: bool, puma: bool) -> Recipe:
    headers = sorted({package for gem, package in _HEADERS.items() if gem in gems})
    wanted = " ".join(("build-essential", "libyaml-dev", *(name for name in headers if name != "libyaml-dev")))
    # many gems are compiled while they are installed, and slim images come without a compiler
    compiler = Tool(
        f"(command -v make && command -v cc{' && false' if headers else ''}) > /dev/null || (apt-get update && apt-get "
        f"install -y --no-install-recommends {wanted} && rm -rf /var/lib/apt/lists/*)"
    )
    local = bool(
        re.search(r"\bpath:|:path\s*=>|\bgemspec\b|eval_gemfile|File\.read|require_relative", tree.peek("Gemfile"))
    )
    return Recipe(
        base=image("ruby", version),
        env=(("BUNDLE_PATH", "/home/app/bundle"), ("BUNDLE_WITHOUT", "development:test")),
        tools=(compiler,) if install else (),
        manifests=() if local else tree.present("Gemfile", "Gemfile.lock", ".ruby-version", ".tool-versions"),
        as_user=True,
        finish=("bundle add puma",) if puma else (),
        run_env=(
            ("RACK_ENV", "production"),
            ("RAILS_ENV", "production"),
            ("RAILS_LOG_TO_STDOUT", "1"),
            ("RAILS_SERVE_STATIC_FILES", "1"),
        ),
    )


def _wanted(tree: Tree, gemfile: str) -> tuple[str | None, str]:
    for name, pattern in ((".ruby-version", r"(?m)^\s*([^#\s]\S*)"), (".tool-versions", r"(?m)^ruby\s+(\S+)")):
        match = re.search(pattern, tree.peek(name))
        if match:
            return match[1], name
    match = re.search(r"""(?m)^\s*ruby\s*\(?\s*["']([^"']+)["']""", gemfile)
    return (match[1], "Gemfile") if match else (None, "")


def _evidence(tree: Tree, gems: frozenset[str], locked: frozenset[str], gemfile: str) -> tuple[Evidence, ...]:
    known = [name for name in ("rails", "sinatra", "rack", "puma") if name in gems]
    says = [Evidence("Gemfile", ", ".join(known or sorted(gems)[:3]) or "no gems")] if gemfile else []
    says += [Evidence("Gemfile.lock", f"{len(locked)} gems, locked")] if locked else []
    program = tree.first("config.ru", *_PROGRAMS)
    says += (
        [Evidence(program, "the Rack application" if program == "config.ru" else "the program to run")]
        if program
        else []
    )
    return tuple(says)
