"""Django projects: where the settings and the server entry lie, and how static files get served."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from devflow.features.deployments.rules.detect import python_app
from devflow.features.deployments.rules.detect.tree import Tree
from devflow.features.deployments.rules.detect.values import Evidence

WRAPPER = "devflow_static"
"""Module written beside manage.py when the project leaves its static files unserved."""
_SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE["']\s*,\s*["']([\w.]+)["']""")
_WRAPPER = '''"""Serves the static files of the project: those collected, else those Django finds."""
from {module} import application as project
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from whitenoise import WhiteNoise

application = WhiteNoise(project)
url = settings.STATIC_URL or "static/"
if "://" not in url:
    prefix = "/" + url.strip("/") + "/"
    if settings.STATIC_ROOT:
        application.add_files(settings.STATIC_ROOT, prefix=prefix)
    else:
        for finder in get_finders():
            for path, storage in finder.list([]):
                name = "/".join(part for part in (getattr(storage, "prefix", None), path) if part)
                application.add_file_to_dictionary(prefix + name, storage.path(path))
'''


@dataclass(frozen=True)
class Site:
    """A Django project; `folder` is where manage.py lies, "" for the root."""

    folder: str
    module: str
    interface: Literal["wsgi", "asgi"]
    static_files: bool
    whitenoise: bool
    collect: str
    migrations: bool
    required: tuple[str, ...]
    evidence: tuple[Evidence, ...]


def find(tree: Tree) -> Site | None:
    """The Django project of a tree, at its root or one folder down."""
    for folder in ("", *tree.folders()):
        manage = f"{folder}/manage.py".lstrip("/")
        match = _SETTINGS.search(tree.peek(manage))
        if match:
            return _site(tree, folder, manage, match[1])
    return None


def wrapper_path(site: Site) -> str:
    return f"{site.folder}/{WRAPPER}.py".lstrip("/")


def wrapper(site: Site) -> str:
    """The module that puts WhiteNoise in front of the project."""
    return _WRAPPER.format(module=site.module)


def _site(tree: Tree, folder: str, manage: str, settings: str) -> Site | None:
    package = settings.split(".")[0]
    base = f"{folder}/{package}".lstrip("/")
    side = next((name for name in ("wsgi", "asgi") if tree.is_file(f"{base}/{name}.py")), None)
    if side is None:
        return None
    texts = _settings_texts(tree, folder, settings)
    text = "\n".join(texts)
    static_files = "django.contrib.staticfiles" in text
    root = re.search(r"(?m)^\s*STATIC_ROOT\s*[:=](?!=)\s*(?!None)", text) is not None
    collect = f"python {manage} collectstatic --noinput" if static_files and root else ""
    apps = (f"{folder}/{name}".lstrip("/") for name in tree.folders(folder))
    says = [Evidence(manage, f"settings in {settings}")]
    if collect:
        says.append(
            Evidence(
                f"{base}/{'settings.py' if tree.is_file(f'{base}/settings.py') else 'settings'}", "STATIC_ROOT is set"
            )
        )
    return Site(
        folder=folder,
        module=f"{package}.{side}",
        interface="wsgi" if side == "wsgi" else "asgi",
        static_files=static_files,
        whitenoise="whitenoise.middleware" in text.lower(),
        collect=collect,
        migrations=any(tree.is_dir(f"{app}/migrations") for app in apps),
        required=tuple(dict.fromkeys(name for one in texts for name in python_app.required_env(one))),
        evidence=tuple(says),
    )


def _settings_texts(tree: Tree, folder: str, settings: str) -> list[str]:
    """The settings module, or all modules of a settings package."""
    path = f"{folder}/{settings.replace('.', '/')}".lstrip("/")
    parent = path.rpartition("/")[0]
    names = [f"{path}.py"] if tree.is_file(f"{path}.py") else [f"{path}/{name}" for name in tree.files(path, ".py")]
    if settings.count(".") > 1 and tree.is_file(f"{parent}/base.py"):
        names.append(f"{parent}/base.py")
    return [tree.peek(name) for name in dict.fromkeys(names)]
