"""Go, PHP, Ruby, plain pages and Procfiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from devflow.features.deployments.rules.detect import Evidence, Overrides, Runtimes, detect
from tests.features.deployments.rules.detect.conftest import Plan

MAIN = "package main\n\nfunc main() {}\n"
FLASK = "from flask import Flask\napp = Flask('x')\n"
MOD = {"go.mod": "module example.com/shop/v2\n\ngo 1.22\n"}


@pytest.mark.parametrize(
    ("files", "target"),
    [
        ({"main.go": MAIN}, "."),
        ({"cmd/shop/main.go": MAIN, "cmd/admin/main.go": MAIN}, "./cmd/shop"),
        ({"cmd/one/main.go": MAIN, "cmd/server/main.go": MAIN}, "./cmd/server"),
        ({"web/main.go": MAIN, "gen.go": "//go:build ignore\n\n" + MAIN}, "./web"),
    ],
)
def test_go_builds_the_main_package(plan: Plan, files: dict[str, str], target: str) -> None:
    found = plan(MOD | files)
    assert found.build_command == f"go build -trimpath -ldflags='-s -w' -o bin/app {target}"
    assert found.start_command == "./bin/app"
    assert found.base_images == ("golang:1.24", "debian:13-slim")


def test_go_names_the_other_main_packages(plan: Plan) -> None:
    notes = plan(MOD | {"cmd/shop/main.go": MAIN, "cmd/admin/main.go": MAIN}).notes
    assert any("there are other main packages: ./cmd/admin" in note for note in notes)


def test_a_go_library_is_nothing_to_run(plan: Plan) -> None:
    found = plan(MOD | {"shop.go": "package shop\n", "index.html": ""})
    assert found.framework == "static"


@pytest.mark.parametrize(
    ("sum_file", "install"),
    [({"go.sum": ""}, "go mod download"), ({}, ""), ({"go.sum": "", "vendor/modules.txt": ""}, "")],
)
def test_go_downloads_what_is_locked(plan: Plan, sum_file: dict[str, str], install: str) -> None:
    assert plan(MOD | {"main.go": MAIN} | sum_file).install_command == install


@pytest.mark.parametrize(
    ("files", "start"),
    [
        ({"index.php": ""}, "php -S 0.0.0.0:$PORT -t . /home/app/router.php"),
        ({"public/index.php": ""}, "php -S 0.0.0.0:$PORT -t public /home/app/router.php"),
        ({"public/index.php": "", "router.php": ""}, "php -S 0.0.0.0:$PORT -t public router.php"),
    ],
)
def test_php_serves_its_public_folder(plan: Plan, files: dict[str, str], start: str) -> None:
    found = plan(files)
    assert (found.framework, found.start_command, found.install_command) == ("php", start, "")


def test_php_keeps_hidden_files_to_itself(plan: Plan) -> None:
    assert 'preg_match("~/\\.(?!well-known/)' in (plan({"index.php": ""}).dockerfile_text or "")


def test_laravel_uses_its_own_router_and_needs_a_key(plan: Plan) -> None:
    composer = '{"require": {"php": "^8.2", "laravel/framework": "^12"}}'
    found = plan({"composer.json": composer, "artisan": "", "public/index.php": ""})
    assert (found.framework, found.required_secrets) == ("laravel", ("APP_KEY",))
    assert found.start_command.startswith("cd public && php -S 0.0.0.0:$PORT ../vendor/laravel/framework/")
    assert '"cd public && exec php -S' in (found.dockerfile_text or "")
    assert found.install_command.startswith("composer install --no-dev")


GEMS = 'source "https://rubygems.org"\nruby "~> 3.2"\n'


@pytest.mark.parametrize(
    ("files", "framework", "start"),
    [
        (
            {"Gemfile": GEMS + 'gem "puma"\n', "config.ru": ""},
            "ruby",
            "bundle exec puma --bind tcp://0.0.0.0:$PORT config.ru",
        ),
        ({"Gemfile": GEMS + 'gem "sinatra"\n', "app.rb": ""}, "ruby", "bundle exec ruby app.rb -o 0.0.0.0 -p $PORT"),
        (
            {"Gemfile": GEMS + 'gem "rails"\ngem "puma"\n', "config.ru": ""},
            "rails",
            "bundle exec puma --bind tcp://0.0.0.0:$PORT",
        ),
        ({"app.rb": ""}, "ruby", "ruby app.rb"),
    ],
)
def test_ruby_is_served_by_puma_where_it_can_be(plan: Plan, files: dict[str, str], framework: str, start: str) -> None:
    found = plan(files)
    assert (found.framework, found.start_command, found.runtime_version) == (framework, start, "3.3")


def test_rails_needs_its_key_and_its_assets(plan: Plan) -> None:
    files = {"Gemfile": 'gem "rails"\ngem "propshaft"\n', "config.ru": "", "app/assets/x.css": ""}
    found = plan(files)
    assert found.build_command == "SECRET_KEY_BASE_DUMMY=1 bundle exec rails assets:precompile"
    assert found.required_secrets == ("SECRET_KEY_BASE",)
    assert plan(files | {"config/credentials.yml.enc": "x"}).required_secrets == ("RAILS_MASTER_KEY",)


def test_puma_is_added_where_it_is_missing(plan: Plan) -> None:
    assert "bundle add puma" in (plan({"Gemfile": 'gem "rack"\n', "config.ru": ""}).dockerfile_text or "")


@pytest.mark.parametrize(
    ("files", "folder"),
    [
        ({"index.html": ""}, ""),
        ({"public/index.html": ""}, "public"),
        ({"about.html": ""}, ""),
        ({"pages/one.html": "", "pictures/a.svg": ""}, "pages"),
    ],
)
def test_plain_pages_are_served_from_the_tree(plan: Plan, files: dict[str, str], folder: str) -> None:
    found = plan(files)
    assert (found.framework, found.kind, found.output_directory) == ("static", "static", folder)
    assert (found.static_path, found.dockerfile_text, found.base_images, found.spa) == (None, None, (), False)


def test_pages_without_a_start_page_are_mentioned(plan: Plan) -> None:
    assert plan({"about.html": ""}).notes == ("There is no index.html, so the address itself answers 404.",)


def test_a_procfile_says_how_to_start_and_release(plan: Plan) -> None:
    procfile = "# ours\nrelease: ./migrate\n\nweb: serve --port $PORT\nworker: work\n"
    found = plan({"requirements.txt": "", "Procfile": procfile})
    assert (found.start_command, found.release_command) == ("serve --port $PORT", "./migrate")
    assert Evidence("Procfile", "release, web, worker") in found.evidence
    assert "The Procfile's `worker` process is not started: DevFlow runs `web` and `release`." in found.notes


def test_the_settings_win_over_the_procfile(plan: Plan) -> None:
    found = plan({"requirements.txt": "", "Procfile": "web: old"}, start_command="new")
    assert found.start_command == "new"


@pytest.mark.parametrize(
    ("files", "framework"),
    [
        ({"composer.json": "{}", "public/index.php": "", "package.json": '{"scripts": {"start": "x"}}'}, "php"),
        ({"package.json": '{"scripts": {"start": "node x"}}', "main.py": "print()"}, "node"),
        (
            {"package.json": '{"devDependencies": {"tailwindcss": "4"}}', "requirements.txt": "flask", "app.py": FLASK},
            "flask",
        ),
        ({"package.json": '{"scripts": {"lint": "x"}}', "index.html": ""}, "static"),
        ({"index.html": "", "app.py": FLASK}, "flask"),
    ],
)
def test_what_is_sure_wins_over_what_is_likely(plan: Plan, files: dict[str, str], framework: str) -> None:
    assert plan(files).framework == framework


def test_php_takes_the_version_the_project_asks_for(plan: Plan, tmp_path: Path) -> None:
    plan({"index.php": "", ".php-version": "8.4"})
    have = Runtimes({"php": ("8.4", "8.3", "8.2")})
    found = detect(tmp_path, Overrides(php_version="8.3"), have)
    assert found.runtime_version == "8.3" and found.base_images == ("php:8.3-cli",)
    assert "The project's php_version asks for 8.3; PHP 8.3 is used." in found.notes
    assert detect(tmp_path, Overrides(), have).runtime_version == "8.4"
