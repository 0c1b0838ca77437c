"""Finds the application object of a Python project by reading its syntax; the code is never imported."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from devflow.features.deployments.rules.detect.tree import Tree

_CLASSES: dict[str, tuple[str, Literal["wsgi", "asgi"]]] = {
    "flask.Flask": ("flask", "wsgi"),
    "flask_openapi3.OpenAPI": ("flask", "wsgi"),
    "apiflask.APIFlask": ("flask", "wsgi"),
    "connexion.FlaskApp": ("flask", "wsgi"),
    "bottle.Bottle": ("python", "wsgi"),
    "bottle.default_app": ("python", "wsgi"),
    "falcon.App": ("python", "wsgi"),
    "django.core.wsgi.get_wsgi_application": ("django", "wsgi"),
    "fastapi.FastAPI": ("fastapi", "asgi"),
    "starlette.applications.Starlette": ("python", "asgi"),
    "litestar.Litestar": ("python", "asgi"),
    "quart.Quart": ("python", "asgi"),
    "falcon.asgi.App": ("python", "asgi"),
    "robyn.Robyn": ("python", "asgi"),
    "django.core.asgi.get_asgi_application": ("django", "asgi"),
}
_FACTORY = re.compile(r"(?:create|make|get|build)_(?:app|application|api)\Z|(?:app|application)_factory\Z")
_NAMES = ("app", "application", "api", "server", "asgi", "wsgi")
_STEMS = ("wsgi", "asgi", "app", "main", "application", "server", "api", "run", "index", "web", "__init__")
_NO_CODE = {"tests", "test", "docs", "doc", "migrations", "alembic", "venv", "env", "node_modules", "scripts", "static"}
_NO_CODE |= {"templates", "build", "dist", "examples", "site-packages"}
_PROVIDED = {"PORT", "HOST", "HOME", "PATH", "WEB_CONCURRENCY", "DEVFLOW_DEPLOYMENT"}
MOST_FILES = 200
"""Files parsed at most; applications are found in the first dozen."""


@dataclass(frozen=True)
class App:
    """An application object: `module:name`, or a factory that makes one."""

    module: str
    name: str
    factory: bool
    framework: str
    interface: Literal["wsgi", "asgi"] | None
    """None when the object comes from elsewhere and its kind is not to be seen."""
    file: str


def parse(text: str) -> ast.Module | None:
    """The syntax of a module, or None when it is not (this version of) Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def find(tree: Tree) -> App | None:
    """The best application object of a tree; objects win over factories, usual places over others."""
    found = [app for file in _candidates(tree) for app in _apps(tree, file)]
    return min(found, key=_rank, default=None)


def imports(tree: Tree, file: str) -> frozenset[str]:
    """Top-level packages a file imports."""
    module = parse(tree.peek(file))
    names = _imported(module).values() if module else ()
    return frozenset(name.split(".")[0] for name in names)


def required_env(text: str) -> tuple[str, ...]:
    """Variables read by `os.environ["NAME"]` outside any function: the module cannot be loaded without them."""
    module = parse(text)
    if module is None:
        return ()
    names = [
        node.slice.value
        for statement in module.body
        if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.Expr))
        for node in ast.walk(statement)
        if isinstance(node, ast.Subscript)
        and ast.unparse(node.value) in ("os.environ", "environ")
        and isinstance(node.ctx, ast.Load)
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
    ]
    return tuple(dict.fromkeys(name for name in names if name not in _PROVIDED))


def _rank(app: App) -> tuple[bool, bool, int, int, int]:
    stem = app.file.rpartition("/")[2].removesuffix(".py")
    place = _STEMS.index(stem) if stem in _STEMS else len(_STEMS)
    name = _NAMES.index(app.name) if app.name in _NAMES else len(_NAMES)
    return app.factory, app.interface is None, app.file.count("/"), place, name


def _candidates(tree: Tree) -> list[str]:
    folders = ["", *(f for f in tree.folders() if f not in _NO_CODE)]
    folders += [f"src/{f}" for f in tree.folders("src") if f not in _NO_CODE]
    files = [f"{folder}/{name}".lstrip("/") for folder in folders for name in tree.files(folder, ".py")]
    ordered = sorted(files, key=lambda file: (_stem_rank(file), file.count("/")))
    return ordered[:MOST_FILES]


def _stem_rank(file: str) -> int:
    stem = file.rpartition("/")[2].removesuffix(".py")
    return _STEMS.index(stem) if stem in _STEMS else len(_STEMS)


def _apps(tree: Tree, file: str) -> Iterator[App]:
    text = tree.peek(file)
    if not re.search(r"(?i)app|api|server|flask|bottle|starlette|litestar|quart|robyn", text):
        return
    module = parse(text)
    if module is None:
        return
    imported = _imported(module)
    dotted = file.removesuffix(".py").removesuffix("/__init__").removeprefix("src/").replace("/", ".")
    hints = {value.split(".")[0] for value in imported.values()}
    guess = next((name for name in ("fastapi", "flask", "django") if name in hints), "")
    for node in _statements(module.body):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Call):
            yield from _assigned(node, node.value, imported, dotted, guess, file)
        elif isinstance(node, ast.FunctionDef) and _FACTORY.match(node.name) and not _needs_arguments(node.args):
            framework, interface = _made_by(node, imported) or (guess, None)
            yield App(dotted, node.name, True, framework, interface, file)
        elif isinstance(node, ast.ImportFrom) and file.rpartition("/")[2] in ("wsgi.py", "asgi.py"):
            side: Literal["wsgi", "asgi"] = "asgi" if file.endswith("asgi.py") else "wsgi"
            for alias in node.names:
                if (alias.asname or alias.name) in _NAMES:
                    yield App(dotted, alias.asname or alias.name, False, guess, side, file)


def _assigned(
    node: ast.Assign | ast.AnnAssign, call: ast.Call, imported: dict[str, str], dotted: str, guess: str, file: str
) -> Iterator[App]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    full = _dotted(call.func, imported)
    known = _CLASSES.get(full)
    for name in names:
        if known:
            yield App(dotted, name, False, known[0], known[1], file)
        elif _FACTORY.match(full.rpartition(".")[2]):
            yield App(dotted, name, False, guess, None, file)


def _made_by(function: ast.FunctionDef, imported: dict[str, str]) -> tuple[str, Literal["wsgi", "asgi"]] | None:
    inner = imported | _imported(ast.Module(function.body, []))
    calls = (node for node in ast.walk(function) if isinstance(node, ast.Call))
    return next((_CLASSES[full] for call in calls if (full := _dotted(call.func, inner)) in _CLASSES), None)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run on import, those in `if`, `try` and `with` too; not those under `__main__`."""
    for node in body:
        yield node
        if isinstance(node, ast.If) and "__main__" not in ast.unparse(node.test):
            yield from _statements([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from _statements([*node.body, *node.orelse, *node.finalbody])
        elif isinstance(node, ast.With):
            yield from _statements(node.body)


def _imported(module: ast.Module) -> dict[str, str]:
    """Local name -> what it stands for."""
    names: dict[str, str] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _dotted(node: ast.expr, imported: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return imported.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, imported)}.{node.attr}"
    return ""


def _needs_arguments(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args)
    return positional > len(arguments.defaults) or any(default is None for default in arguments.kw_defaults)
