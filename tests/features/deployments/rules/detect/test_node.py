"""Node projects: package managers, static sites, servers."""

from __future__ import annotations

import json

import pytest

from tests.features.deployments.rules.detect.conftest import Plan

LOCK = {"package-lock.json": '{"packages": {"": {}, "node_modules/a": {}}}'}


def package(*names: str, **more: object) -> dict[str, str]:
    """A package.json with these packages, and a lock file."""
    return LOCK | {"package.json": json.dumps({"dependencies": dict.fromkeys(names, "^4.2.0"), **more})}


BUILD = {"scripts": {"build": "make it"}}


@pytest.mark.parametrize(
    ("files", "framework", "output", "spa"),
    [
        (package("vite", **BUILD), "vite", "dist", True),
        (
            package("vite", **BUILD) | {"vite.config.ts": "export default { build: { outDir: './out' } }"},
            "vite",
            "out",
            True,
        ),
        (package("vite", **BUILD) | {"vite.config.js": "// outDir: 'no'\nexport default {}"}, "vite", "dist", True),
        (package("vite", scripts={"start": "vite", "build": "vite build"}), "vite", "dist", True),
        (package("astro", **BUILD), "astro", "dist", False),
        (package("astro", **BUILD) | {"astro.config.mjs": "export default {outDir: 'web'}"}, "astro", "web", False),
        (package("react-scripts", **BUILD), "cra", "build", True),
        (package("gatsby", **BUILD), "gatsby", "public", False),
        (package("next", **BUILD) | {"next.config.js": "module.exports = {output: 'export'}"}, "next", "out", False),
        (package("nuxt", scripts={"build": "nuxt generate"}), "nuxt", ".output/public", False),
        (package("@sveltejs/kit", "@sveltejs/adapter-static", "vite", **BUILD), "svelte", "build", False),
        (
            package("@sveltejs/kit", "@sveltejs/adapter-static", **BUILD)
            | {"svelte.config.js": "adapter({pages: 'web', fallback: '200.html'})"},
            "svelte",
            "web",
            True,
        ),
        (
            package("@angular/core", **BUILD)
            | {
                "angular.json": json.dumps(
                    {"projects": {"shop": {"architect": {"build": {"builder": "@angular/build:application"}}}}}
                )
            },
            "angular",
            "dist/shop/browser",
            True,
        ),
        (package("@11ty/eleventy", **BUILD), "node", "_site", False),
    ],
)
def test_sites_are_served_as_files(plan: Plan, files: dict[str, str], framework: str, output: str, spa: bool) -> None:
    found = plan(files)
    assert (found.kind, found.framework, found.output_directory, found.spa) == ("static", framework, output, spa)
    assert (found.static_path, found.start_command) == ("/site", "")
    assert f"cp -RL -- {output} /site" in (found.dockerfile_text or "")


@pytest.mark.parametrize(
    ("files", "framework", "start"),
    [
        (package("next", **BUILD), "next", "next start --port $PORT"),
        (package("next", scripts={"start": "next start"}), "next", "next start --port $PORT"),
        (package("next", scripts={"start": "node server.js"}), "next", "node server.js"),
        (package("nuxt", **BUILD), "nuxt", "node .output/server/index.mjs"),
        (package("@sveltejs/kit", "@sveltejs/adapter-node", **BUILD), "svelte", "node build"),
        (
            package("astro", "@astrojs/node", **BUILD) | {"astro.config.mjs": "adapter: node({mode: 'standalone'})"},
            "astro",
            "node ./dist/server/entry.mjs",
        ),
        (package("express", scripts={"start": "node server.js"}), "express", "node server.js"),
        (package("express") | {"index.js": ""}, "express", "node index.js"),
        (package("express", main="src/web.js") | {"src/web.js": ""}, "express", "node src/web.js"),
        (package("express", "vite", scripts={"start": "node s.js", "build": "vite build"}), "express", "node s.js"),
        (package("@nestjs/core", scripts={"build": "nest build", "start": "nest start"}), "node", "node dist/main"),
        (package("fastify", scripts={"start": "a && b"}), "node", "npm run start"),
        (package("fastify", scripts={"start": "node a", "prestart": "b"}), "node", "npm run start"),
        (package("@remix-run/serve", scripts={"start": "remix-serve build"}), "node", "remix-serve build"),
        ({"package.json": "{}", "server.js": ""}, "node", "node server.js"),
    ],
)
def test_servers_are_started(plan: Plan, files: dict[str, str], framework: str, start: str) -> None:
    found = plan(files)
    assert (found.kind, found.framework, found.start_command) == ("app", framework, start)


@pytest.mark.parametrize(
    ("files", "install", "tool"),
    [
        ({}, "npm install", None),
        ({"package-lock.json": "{}"}, "npm ci", None),
        ({"yarn.lock": "# yarn lockfile v1"}, "yarn install --frozen-lockfile", "yarn@1"),
        ({"yarn.lock": "__metadata:\n  version: 8"}, "yarn install --immutable", "@yarnpkg/cli-dist"),
        ({"pnpm-lock.yaml": "lockfileVersion: '9.0'"}, "pnpm install --frozen-lockfile", "pnpm@10"),
        ({"pnpm-lock.yaml": "lockfileVersion: 5.4"}, "pnpm install --frozen-lockfile", "pnpm@7"),
    ],
)
def test_the_package_manager_follows_the_lock_file(
    plan: Plan, files: dict[str, str], install: str, tool: str | None
) -> None:
    found = plan({"package.json": '{"scripts": {"start": "node x"}, "dependencies": {"koa": "2"}}', **files})
    assert found.install_command == install
    assert (f"npm install --global --force {tool}\n" in (found.dockerfile_text or "")) is bool(tool)


def test_package_json_may_name_the_package_manager(plan: Plan) -> None:
    found = plan(package("koa", packageManager="pnpm@9.15.0+sha512.abc", scripts={"start": "node x"}))
    assert "npm install --global --force pnpm@9.15.0\n" in (found.dockerfile_text or "")


@pytest.mark.parametrize(
    "more",
    [
        {"scripts": {"start": "node x", "postinstall": "prisma generate"}},
        {"scripts": {"start": "node x"}, "workspaces": ["packages/*"]},
        {"scripts": {"start": "node x"}, "devDependencies": {"shared": "file:../shared"}},
    ],
)
def test_an_install_that_reads_sources_comes_after_them(plan: Plan, more: dict[str, object]) -> None:
    lines = (plan(package("koa", **more)).dockerfile_text or "").splitlines()
    install = next(index for index, line in enumerate(lines) if "npm ci" in line)
    assert lines[install - 1] == "COPY --chown=app:app . ."


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({".nvmrc": "v20.11.1\n"}, "20"),
        ({".nvmrc": "lts/jod\n"}, "22"),
        ({".node-version": "22\n"}, "22"),
        ({".tool-versions": "nodejs 20.1.0\n"}, "20"),
        (package("koa", scripts={"start": "x"}, engines={"node": "20.x"}), "20"),
        (package("koa", scripts={"start": "x"}, engines=[]), "24"),
    ],
)
def test_the_version_is_read_where_people_write_it(plan: Plan, files: dict[str, str], version: str) -> None:
    found = plan(package("koa", scripts={"start": "x"}) | files)
    assert (found.runtime_version, found.base_images) == (version, (f"node:{version}-slim",))


@pytest.mark.parametrize(
    ("code", "port"),
    [("app.listen(4000)", 4000), ("app.listen(process.env.PORT || 4000)", 3000), ("app.listen(port)", 3000)],
)
def test_a_port_written_into_the_program_is_used(plan: Plan, code: str, port: int) -> None:
    assert plan(package("express") | {"index.js": code}).port == port


def test_a_start_command_turns_a_site_into_an_app(plan: Plan) -> None:
    found = plan(package("vite", **BUILD), start_command="vite preview --port $PORT", output_directory="")
    assert (found.kind, found.start_command) == ("app", "vite preview --port $PORT")


def test_a_missing_lock_file_is_mentioned(plan: Plan) -> None:
    notes = plan({"package.json": '{"scripts": {"start": "node x"}}'}).notes
    assert "There is no lock file, so npm picks versions anew in every build; commit one." in notes
