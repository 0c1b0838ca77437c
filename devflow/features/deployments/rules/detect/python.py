"""Python: Flask, FastAPI, Django, other WSGI and ASGI applications, and plain scripts."""

from __future__ import annotations

from dataclasses import dataclass

from devflow.features.deployments.rules.detect import django, python_app, python_manifest
from devflow.features.deployments.rules.detect.python_app import App
from devflow.features.deployments.rules.detect.python_manifest import Manifest
from devflow.features.deployments.rules.detect.render import Recipe, Tool
from devflow.features.deployments.rules.detect.runtimes import image
from devflow.features.deployments.rules.detect.source import Draft, Source
from devflow.features.deployments.rules.detect.tree import Tree
from devflow.features.deployments.rules.detect.values import FRAMEWORKS, Evidence

SLUGS = ("flask", "fastapi", "django", "python")
PORT = 8000
_SCRIPTS = ("main.py", "app.py", "server.py", "run.py", "bot.py", "index.py", "__main__.py")
# One process with threads: an app gets one core unless its project says otherwise, and many small apps keep state in
# memory or in SQLite. WEB_CONCURRENCY is read by gunicorn and by uvicorn and raises the number of processes.
_ENV = (
    ("PYTHONUNBUFFERED", "1"),
    ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ("PIP_ROOT_USER_ACTION", "ignore"),
)
_RUN_ENV = (("WEB_CONCURRENCY", "1"), ("FORWARDED_ALLOW_IPS", "*"))
_THREADS = 8
_NEEDS_COMPILER = {"psycopg2": "libpq-dev", "mysqlclient": "default-libmysqlclient-dev pkg-config", "uwsgi": ""}
_NEEDS_COMPILER |= {"python-ldap": "libldap2-dev libsasl2-dev", "pycairo": "libcairo2-dev pkg-config"}

# borrowing the system's pip makes the environment in a tenth of the time that a pip of its own would take
_VENV = (
    "python3 -m venv --without-pip --system-site-packages /venv && "
    """printf '#!/bin/sh\\nexec /venv/bin/python -m pip "$@"\\n' > /venv/bin/pip && chmod +x /venv/bin/pip"""
)
_OWN_VENV = (
    "python3 -m venv --without-pip /opt/{tool} && pip --python /opt/{tool}/bin/python install {tool} && "
    "ln -s /opt/{tool}/bin/{tool} /usr/local/bin/"
)


@dataclass(frozen=True)
class _Start:
    framework: str
    title: str
    command: str
    servers: tuple[str, ...] = ()
    build: str = ""
    files: tuple[tuple[str, str], ...] = ()
    evidence: tuple[Evidence, ...] = ()
    notes: tuple[str, ...] = ()
    required: tuple[str, ...] = ()


def plan(source: Source) -> Draft | None:
    """A plan when the tree holds a Python application; scripts only when `keen`."""
    tree = source.tree
    manifest = python_manifest.read(tree)
    site = django.find(tree)
    app = None if site else python_app.find(tree)
    if app and manifest is None and "/" in app.file:
        app = None  # a package without requirements beside it belongs to a folder that has them
    forced = source.wants(*SLUGS)
    asked = bool(source.overrides.start_command or source.procfile.web)
    if not forced and manifest is None and not (app or site) and not (source.keen and tree.first(*_SCRIPTS)):
        return None
    manifest = manifest or Manifest("", {}, {})
    start = _start(source, manifest, app, site)
    if start is None:
        if not (forced or (manifest.tool and (asked or source.overrides.output_directory))):
            return None
        start = _Start("python", "Python", "")
    return _draft(source, manifest, start)


def _start(source: Source, manifest: Manifest, app: App | None, site: django.Site | None) -> _Start | None:
    said = source.overrides.framework
    if site and said in ("", "django"):
        return _django(site, manifest)
    if app and app.framework != "django":
        return _application(source.tree, app, manifest, said)
    if source.keen or said == "python":
        return _script(source.tree, manifest)
    return None


def _application(tree: Tree, app: App, manifest: Manifest, said: str) -> _Start:
    framework = said or app.framework or next((n for n in ("fastapi", "flask") if manifest.has(n)), "python")
    asgi = app.interface == "asgi" or (app.interface is None and framework == "fastapi")
    target = f"{app.module}:{app.name}"
    if asgi:
        has = manifest.has("uvicorn") or any(word in manifest.extras.get("fastapi", "") for word in ("standard", "all"))
        factory = " --factory" if app.factory else ""
        command = f"uvicorn{factory} --host 0.0.0.0 --port $PORT {target}"
        servers: tuple[str, ...] = () if has else ("uvicorn",)
    else:
        call = f"'{target}()'" if app.factory else target
        command = f"gunicorn --bind 0.0.0.0:$PORT --threads {_THREADS} {call}"
        servers = () if manifest.has("gunicorn") else ("gunicorn",)
    what = f"the factory {app.name}()" if app.factory else f"the application {app.name}"
    notes = [f"{servers[0]} is installed to serve the app; name it in the requirements to pin it."] if servers else []
    if not manifest.has(framework) and framework != "python" and not manifest.tool:
        notes.append(f"{app.file} needs {FRAMEWORKS[framework]}, but no requirements.txt or pyproject.toml names it.")
    title = FRAMEWORKS[framework]
    required = python_app.required_env(tree.peek(app.file))
    return _Start(framework, title, command, servers, "", (), (Evidence(app.file, what),), tuple(notes), required)


def _django(site: django.Site, manifest: Manifest) -> _Start:
    folder = f" --chdir {site.folder}" if site.folder else ""
    if site.interface == "asgi":
        place = f" --app-dir {site.folder}" if site.folder else ""
        command = f"uvicorn{place} --host 0.0.0.0 --port $PORT {site.module}:application"
        servers = () if manifest.has("uvicorn") else ("uvicorn",)
    else:
        command = f"gunicorn --bind 0.0.0.0:$PORT --threads {_THREADS}{folder} {site.module}:application"
        servers = () if manifest.has("gunicorn") else ("gunicorn",)
    notes = [f"{name} is installed to serve the app; name it in the requirements to pin it." for name in servers]
    files: tuple[tuple[str, str], ...] = ()
    if site.static_files and not site.whitenoise and site.interface == "wsgi":
        files = ((django.wrapper_path(site), django.wrapper(site)),)
        command = command.replace(f"{site.module}:application", f"{django.WRAPPER}:application")
        servers = (*servers, *(() if manifest.has("whitenoise") else ("whitenoise",)))
        notes.append("The project does not serve its static files itself, so WhiteNoise is put in front of it.")
    if site.migrations:
        notes.append("Migrations do not run by themselves: add `release: python manage.py migrate` to a Procfile.")
    return _Start("django", "Django", command, servers, site.collect, files, site.evidence, tuple(notes), site.required)


def _script(tree: Tree, manifest: Manifest) -> _Start | None:
    file = tree.first("streamlit_app.py", *_SCRIPTS)
    if file is None:
        return None
    if manifest.has("streamlit"):
        command = f"streamlit run {file} --server.address 0.0.0.0 --server.port $PORT --server.headless true"
        return _Start("python", "Streamlit", command, evidence=(Evidence(file, "the Streamlit page"),))
    note = f"{file} is started as a script; it has to listen on 0.0.0.0 and the port in the variable PORT."
    return _Start("python", "Python", f"python {file}", (), "", (), (Evidence(file, "the script to run"),), (note,))


def _draft(source: Source, manifest: Manifest, start: _Start) -> Draft:
    choice = source.runtimes.choose("python", manifest.wanted, manifest.wanted_by)
    served = source.overrides.start_command or source.procfile.web
    servers = _named(served, manifest) if served else start.servers
    used = f"with {manifest.tool} and Python {choice.version}" if manifest.tool else f"with Python {choice.version}"
    return Draft(
        framework=start.framework,
        title=f"Python {choice.version}" if start.title == "Python" else f"{start.title}, {used}",
        recipe=_recipe(source.tree, manifest, servers, start.files if not served else (), choice.version),
        runtime="python",
        choice=choice,
        port=PORT,
        install=manifest.install,
        build=start.build,
        start=start.command,
        evidence=(*manifest.evidence, *start.evidence),
        notes=start.notes if not served else (),
        required=start.required,
    )


def _named(command: str, manifest: Manifest) -> tuple[str, ...]:
    """Servers a command of the project calls although its packages leave them out."""
    return tuple(name for name in ("gunicorn", "uvicorn") if name in command.split() and not manifest.has(name))


def _recipe(
    tree: Tree, manifest: Manifest, servers: tuple[str, ...], files: tuple[tuple[str, str], ...], version: str
) -> Recipe:
    tool = manifest.tool
    cache = "/root/.cache/" + (tool if tool in ("uv", "pipenv") else "pypoetry" if tool == "poetry" else "pip")
    pip = "/root/.cache/pip"
    env, tools = list(_ENV), _compiler(manifest)
    # a virtual environment, because the system's own packages cannot be replaced where the distribution made them
    env += [("VIRTUAL_ENV", "/venv"), ("PATH", "/venv/bin:$PATH")]
    add = "pip install"
    if tool == "uv":
        env += [("UV_PROJECT_ENVIRONMENT", "/venv"), ("UV_PYTHON", "python3"), ("UV_PYTHON_DOWNLOADS", "never")]
        env += [("UV_LINK_MODE", "copy"), ("UV_COMPILE_BYTECODE", "1")]
        tools.append(Tool("pip install uv", (pip,)))
        add = "uv pip install"
    elif tool in ("poetry", "pipenv"):
        tools.append(Tool(_OWN_VENV.format(tool=tool), (pip,)))
        tools.append(Tool("python3 -m venv --without-pip /venv"))
        add = "pip --python /venv/bin/python install"
    else:
        tools.append(Tool(_VENV))
    if tree.is_dir("src") and not manifest.finish:
        env.append(("PYTHONPATH", "/app/src"))
    return Recipe(
        base=image("python", version),
        env=tuple(env),
        tools=tuple(tools),
        cache=cache,
        manifests=manifest.files,
        extras=(f"{add} {' '.join(servers)}",) if servers else (),
        finish=(manifest.finish,) if manifest.finish else (),
        files=files,
        run_env=_RUN_ENV,
    )


def _compiler(manifest: Manifest) -> list[Tool]:
    """What packages that come without wheels are compiled with."""
    needed = sorted({headers for package, headers in _NEEDS_COMPILER.items() if manifest.has(package)})
    if not needed:
        return []
    wanted = " ".join(("build-essential", "python3-dev", *(headers for headers in needed if headers)))
    install = f"apt-get update && apt-get install -y --no-install-recommends {wanted}"
    return [Tool(f"{install} && rm -rf /var/lib/apt/lists/*")]
