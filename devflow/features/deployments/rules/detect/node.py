"""Node: static sites of the usual builders, servers of the usual frameworks, and plain programs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from devflow.features.deployments.rules.detect import node_manifest
from devflow.features.deployments.rules.detect.node_manifest import Manifest
from devflow.features.deployments.rules.detect.render import Recipe
from devflow.features.deployments.rules.detect.runtimes import image
from devflow.features.deployments.rules.detect.source import Draft, Source
from devflow.features.deployments.rules.detect.tree import Tree, table
from devflow.features.deployments.rules.detect.values import FRAMEWORKS, Evidence

SLUGS = ("next", "nuxt", "vite", "astro", "cra", "gatsby", "svelte", "angular", "express", "node")
PORT = 3000
_RUN_ENV = (("NODE_ENV", "production"), ("HOST", "0.0.0.0"))  # noqa: S104 (inside a container)
_SERVERS = ("express", "fastify", "koa", "hapi", "@hapi/hapi", "hono", "@hono/node-server", "@nestjs/core", "polka")
_DEVELOPMENT = re.compile(
    r"\b(?:vite|astro|ng|vue-cli-service|react-scripts|gatsby|webpack-dev-server|parcel|eleventy)\b"
)
_ENTRIES = ("server.js", "index.js", "app.js", "main.js", "server.mjs", "index.mjs", "src/server.js", "src/index.js")


@dataclass(frozen=True)
class _Shape:
    """What a framework makes of the project: a folder of files, or a server."""

    framework: str
    title: str
    output: str = ""
    start: str = ""
    spa: bool = False
    build: str = ""
    evidence: tuple[Evidence, ...] = ()
    notes: tuple[str, ...] = ()


def plan(source: Source) -> Draft | None:
    """A plan when package.json tells of a site or a server."""
    tree = source.tree
    manifest = node_manifest.read(tree)
    if manifest is None:
        return _bare(source)
    shape = _shape(tree, manifest, source)
    if shape is None:
        return None
    choice = source.runtimes.choose("node", manifest.wanted, manifest.wanted_by)
    used = f"with {manifest.manager} and Node {choice.version}"
    return Draft(
        framework=shape.framework,
        title=f"{shape.title}, {used}" if shape.title != "Node" else f"Node {choice.version}, with {manifest.manager}",
        recipe=_recipe(manifest, choice.version),
        runtime="node",
        choice=choice,
        port=_port(tree, shape) or PORT,
        install=manifest.install if manifest.packages or tree.first("package-lock.json") is None else "",
        build=shape.build or (manifest.run("build") if "build" in manifest.scripts else ""),
        start=shape.start,
        output=shape.output,
        spa=shape.spa,
        evidence=(*manifest.evidence, *shape.evidence),
        notes=(*manifest.notes, *shape.notes),
    )


def _bare(source: Source) -> Draft | None:
    """A program without packages, for who chose Node and says how to start it."""
    if not source.wants(*SLUGS) or not (source.overrides.start_command or source.procfile.web):
        return None
    choice = source.runtimes.choose("node", None, "")
    recipe = Recipe(base=image("node", choice.version), as_user=True, run_env=_RUN_ENV)
    return Draft("node", f"Node {choice.version}", recipe, "node", choice, PORT)


def _recipe(manifest: Manifest, version: str) -> Recipe:
    return Recipe(
        base=image("node", version),
        env=(
            ("PATH", "/app/node_modules/.bin:$PATH"),
            ("npm_config_update_notifier", "false"),
            ("npm_config_fund", "false"),
            *manifest.env,
        ),
        tools=manifest.tools,
        cache=manifest.cache,
        manifests=manifest.files,
        as_user=True,
        # NODE_ENV=production in a project's variables would leave out the packages that the build needs
        install_export="NODE_ENV=development",
        run_env=_RUN_ENV,
    )


def _shape(tree: Tree, manifest: Manifest, source: Source) -> _Shape | None:
    said = source.overrides.framework
    readers = {
        "next": (("next",), _next),
        "nuxt": (("nuxt", "nuxt3"), _nuxt),
        "svelte": (("@sveltejs/kit",), _svelte),
        "astro": (("astro",), _astro),
        "gatsby": (("gatsby",), _gatsby),
        "angular": (("@angular/core",), _angular),
        "cra": (("react-scripts",), _cra),
    }
    for slug, (packages, reader) in readers.items():
        if said == slug or (not said and manifest.has(*packages)):
            return reader(tree, manifest)
    if said == "vite" or (not said and _serves_itself(manifest) is False and manifest.has("vite")):
        return _vite(tree, manifest)
    return _program(tree, manifest, source)


def _serves_itself(manifest: Manifest) -> bool:
    """Has it a `start` script that runs a server of its own, beside a build tool such as Vite?"""
    start = manifest.scripts.get("start", "")
    return bool(start) and not _DEVELOPMENT.search(start)


def _next(tree: Tree, manifest: Manifest) -> _Shape:
    name, text = _config(tree, "next.config", ("js", "mjs", "ts", "cjs"))
    if re.search(r"""\boutput\s*:\s*["']export["']""", text):
        folder = _text_value(text, "distDir") or "out"
        return _Shape("next", "Next.js static export", folder, evidence=(Evidence(name, "output: export"),))
    own = manifest.scripts.get("start", "")
    start = manifest.start() if own and not re.fullmatch(r"next start\s*", own) else "next start --port $PORT"
    return _Shape(
        "next", "Next.js", start=start, build=manifest.run("build") if "build" in manifest.scripts else "next build"
    )


def _nuxt(tree: Tree, manifest: Manifest) -> _Shape:
    if "nuxt generate" in manifest.scripts.get("build", "") or (
        "build" not in manifest.scripts and "generate" in manifest.scripts
    ):
        script = "build" if "build" in manifest.scripts else "generate"
        return _Shape("nuxt", "Nuxt static site", ".output/public", build=manifest.run(script))
    build = manifest.run("build") if "build" in manifest.scripts else "nuxt build"
    return _Shape("nuxt", "Nuxt", start="node .output/server/index.mjs", build=build)


def _svelte(tree: Tree, manifest: Manifest) -> _Shape:
    name, text = _config(tree, "svelte.config", ("js", "mjs", "ts"))
    if manifest.has("@sveltejs/adapter-static"):
        fallback = bool(re.search(r"\bfallback\s*:", text))
        folder = _text_value(text, "pages") or "build"
        return _Shape(
            "svelte", "SvelteKit static site", folder, spa=fallback, evidence=(Evidence(name, "adapter-static"),)
        )
    folder = _text_value(text, "out") or "build"
    notes: tuple[str, ...] = ()
    if not manifest.has("@sveltejs/adapter-node"):
        notes = ("SvelteKit needs an adapter to run here: add @sveltejs/adapter-node or @sveltejs/adapter-static.",)
    return _Shape("svelte", "SvelteKit", start=f"node {folder}", notes=notes)


def _astro(tree: Tree, manifest: Manifest) -> _Shape:
    name, text = _config(tree, "astro.config", ("mjs", "js", "ts", "cjs", "mts"))
    folder = (_text_value(text, "outDir") or "dist").removeprefix("./").rstrip("/")
    if manifest.has("@astrojs/node") and "node(" in text:
        return _Shape(
            "astro", "Astro", start=f"node ./{folder}/server/entry.mjs", evidence=(Evidence(name, "Node adapter"),)
        )
    says = (Evidence(name, f"output in {folder}"),) if name else ()
    return _Shape("astro", "Astro", folder, build=_build(manifest, "astro build"), evidence=says)


def _gatsby(tree: Tree, manifest: Manifest) -> _Shape:
    return _Shape("gatsby", "Gatsby", "public", build=_build(manifest, "gatsby build"))


def _cra(tree: Tree, manifest: Manifest) -> _Shape:
    return _Shape("cra", "Create React App", "build", spa=True, build=_build(manifest, "react-scripts build"))


def _angular(tree: Tree, manifest: Manifest) -> _Shape:
    config = tree.json("angular.json") if tree.is_file("angular.json") else {}
    projects = table(config, "projects")
    name = (
        config.get("defaultProject") if isinstance(config.get("defaultProject"), str) else next(iter(projects), "app")
    )
    target = table(projects, str(name), "architect", "build")
    path = table(target, "options").get("outputPath")
    folder = path if isinstance(path, str) else table(target, "options", "outputPath").get("base") or f"dist/{name}"
    browser = "browser" if str(target.get("builder", "")).endswith(":application") else ""
    output = f"{folder}/{browser}".rstrip("/")
    says = (Evidence("angular.json", f"output in {output}"),)
    return _Shape("angular", "Angular", output, spa=True, build=_build(manifest, "ng build"), evidence=says)


def _vite(tree: Tree, manifest: Manifest) -> _Shape:
    name, text = _config(tree, "vite.config", ("js", "ts", "mjs", "mts", "cjs", "cts"))
    folder = (_text_value(text, "outDir") or "dist").removeprefix("./").rstrip("/")
    inner = _text_value(text, "root").removeprefix("./").strip("/")
    folder = f"{inner}/{folder}" if inner and not folder.startswith("../") else folder.removeprefix("../")
    router = not re.search(r"""appType\s*:\s*["']mpa["']""", text)
    says = (Evidence(name, f"output in {folder}"),) if name else ()
    return _Shape(
        "vite", _vite_title(manifest), folder, spa=router, build=_build(manifest, "vite build"), evidence=says
    )


def _vite_title(manifest: Manifest) -> str:
    names = {"react": "React", "vue": "Vue", "svelte": "Svelte", "preact": "Preact", "solid-js": "Solid"}
    return next((f"Vite and {title}" for package, title in names.items() if manifest.has(package)), "Vite")


def _program(tree: Tree, manifest: Manifest, source: Source) -> _Shape | None:
    server = next((name for name in _SERVERS if manifest.has(name)), "")
    express = server == "express" or source.wants("express")
    slug = "express" if express else "node"
    title = {"fastify": "Fastify", "koa": "Koa", "hono": "Hono", "@nestjs/core": "NestJS"}.get(server, FRAMEWORKS[slug])
    entry = next((name for name in (manifest.main, *_ENTRIES) if name and tree.is_file(name)), "")
    built = manifest.has("@nestjs/core") and "build" in manifest.scripts
    if "start:prod" in manifest.scripts:
        start = manifest.start("start:prod")
    elif built:
        start = "node dist/main"
    elif "start" in manifest.scripts:
        start = manifest.start()
    elif entry and (server or source.keen):
        start = f"node {entry}"
    elif "build" in manifest.scripts and source.keen:
        return _site_of_unknown_make(tree, manifest)
    elif source.wants(*SLUGS) or source.overrides.start_command or source.procfile.web:
        start = ""
    else:
        return None
    says = (Evidence(entry, "the program to run"),) if entry and start.endswith(entry) else ()
    return _Shape(slug, title, start=start, evidence=says)


def _site_of_unknown_make(tree: Tree, manifest: Manifest) -> _Shape:
    makes = {
        "@11ty/eleventy": "_site",
        "@docusaurus/core": "build",
        "vitepress": "docs/.vitepress/dist",
        "hexo": "public",
    }
    folder = next((folder for package, folder in makes.items() if manifest.has(package)), "dist")
    note = f"There is no start script, so the folder {folder} is served after the build."
    return _Shape("node", "Node", folder, notes=(note,))


def _build(manifest: Manifest, otherwise: str) -> str:
    return manifest.run("build") if "build" in manifest.scripts else otherwise


def _config(tree: Tree, stem: str, endings: tuple[str, ...]) -> tuple[str, str]:
    """(name, text without comments) of a configuration file; both "" when there is none."""
    name = tree.first(*(f"{stem}.{ending}" for ending in endings)) or ""
    text = re.sub(r"(?m)(?<![:\w\"'])//.*$|/\*(?:[^*]|\*(?!/))*\*/", "", tree.peek(name)) if name else ""
    return name, text


def _text_value(text: str, key: str) -> str:
    """The plain string given to a key in a JavaScript file, or ""."""
    match = re.search(rf"""\b{key}\s*:\s*["'`]([^"'`$\n]+)["'`]""", text)
    return match[1] if match else ""


def _port(tree: Tree, shape: _Shape) -> int | None:
    """A port written into the program; a program that reads PORT is told ours."""
    entry = next((says.file for says in shape.evidence if says.says == "the program to run"), "")
    text = tree.peek(entry) if entry else ""
    fixed = re.search(r"\.listen\(\s*(\d{2,5})\b", text)
    return int(fixed[1]) if fixed and "PORT" not in text else None
