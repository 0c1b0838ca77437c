"""What a Python project says about itself: packages, the tool that installs them, the version it wants."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from devflow.features.deployments.rules.detect.tree import Tree, broken, table
from devflow.features.deployments.rules.detect.values import Evidence

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?\s*([^;#]*)")
_REQUIREMENTS = (
    "requirements.txt",
    "requirements/production.txt",
    "requirements/prod.txt",
    "requirements/base.txt",
    "requirements-prod.txt",
)
DEEPEST_INCLUDE = 10
"""How far `-r other.txt` is followed."""


@dataclass(frozen=True)
class Manifest:
    """The packages of a project, and how to install them."""

    tool: str
    """pip, uv, poetry, pipenv, or "" when nothing is to be installed."""
    packages: Mapping[str, str]
    """Normal name -> the version asked for, shortened; "" when any."""
    extras: Mapping[str, str]
    """Normal name -> its extras, as written."""
    files: tuple[str, ...] = ()
    install: str = ""
    finish: str = ""
    wanted: str | None = None
    wanted_by: str = ""
    evidence: tuple[Evidence, ...] = ()

    def has(self, *names: str) -> bool:
        return any(name in self.packages for name in names)


@dataclass
class _Found:
    packages: dict[str, str]
    extras: dict[str, str]
    files: list[str]
    whole: bool = False
    """Does installing need more than the manifests?"""


def read(tree: Tree) -> Manifest | None:
    """The project's manifest, or None when there is none of Python's."""
    project = tree.toml("pyproject.toml") if tree.is_file("pyproject.toml") else {}
    readers = (
        ("uv.lock", _uv),
        ("poetry.lock", _poetry),
        ("Pipfile.lock", _pipenv),
        (tree.first(*_REQUIREMENTS), _pip),
        ("pyproject.toml" if table(project, "tool", "poetry") else None, _poetry),
        ("Pipfile", _pipenv),
        ("pyproject.toml" if table(project, "project") else None, _project),
        ("setup.py", _setup),
    )
    for name, reader in readers:
        if name and tree.is_file(name):
            manifest = reader(tree, project, name)
            wanted, by = _wanted(tree, project)
            return _with_version(manifest, wanted, by)
    return None


def _with_version(manifest: Manifest, wanted: str | None, by: str) -> Manifest:
    says = (Evidence(by, wanted.strip()[:40]),) if wanted and by not in {e.file for e in manifest.evidence} else ()
    return Manifest(
        manifest.tool,
        manifest.packages,
        manifest.extras,
        manifest.files,
        manifest.install,
        manifest.finish,
        wanted,
        f"`{by}`",
        (*manifest.evidence, *says),
    )


def _pip(tree: Tree, project: dict[str, Any], name: str) -> Manifest:
    found = _Found({}, {}, [])
    _follow(tree, name, found)
    return Manifest(
        "pip",
        found.packages,
        found.extras,
        () if found.whole else tuple(dict.fromkeys(found.files)),
        f"pip install -r {name}",
        evidence=(Evidence(name, summary(found.packages)),),
    )


def _follow(tree: Tree, name: str, found: _Found, depth: int = 0) -> None:
    found.files.append(name)
    for line in tree.text(name).replace("\\\n", " ").splitlines():
        text = line.split(" #")[0].strip()
        option = re.match(r"(?:-r|--requirement|-c|--constraint)[ =]?\s*(\S+)", text)
        if option:
            other = "/".join(part for part in (name.rpartition("/")[0], option[1]) if part).replace("/./", "/")
            if depth >= DEEPEST_INCLUDE or "://" in other or ".." in other.split("/"):
                found.whole = True
            elif tree.is_file(other):
                _follow(tree, other, found, depth + 1)
            else:
                raise broken(name, f"it includes {option[1]}, which is not in the repository")
        elif re.match(r"-e\b|--editable|\.{1,2}(?:/|\[|$)|file:|[\w./-]+\.whl$", text):
            found.whole = True
        elif not text.startswith(("-", "#", "git+", "http")):
            _add([text], found.packages, found.extras)


def _uv(tree: Tree, project: dict[str, Any], name: str) -> Manifest:
    if not tree.is_file("pyproject.toml"):
        raise broken(
            "uv.lock", "there is no pyproject.toml beside it", "Commit the pyproject.toml that uv.lock belongs to."
        )
    packages, extras = _declared(project)
    locked = _locked(tree.text(name))
    members = bool(table(project, "tool", "uv", "workspace") or table(project, "tool", "uv", "sources"))
    whole = members or _reads_files(project)
    package = "build-system" in project
    return Manifest(
        "uv",
        packages,
        extras,
        () if whole else ("pyproject.toml", "uv.lock"),
        "uv sync --frozen --no-dev" + ("" if whole else " --no-install-project"),
        "uv sync --frozen --no-dev" if package and not whole else "",
        evidence=(Evidence("pyproject.toml", summary(packages)), Evidence("uv.lock", f"{_count(locked)}, locked")),
    )


def _project(tree: Tree, project: dict[str, Any], name: str) -> Manifest:
    packages, extras = _declared(project)
    says = (Evidence("pyproject.toml", summary(packages)),)
    if "build-system" in project and not table(project, "tool", "uv"):
        return Manifest("pip", packages, extras, (), "pip install .", evidence=says)
    # without a build system pip would guess at what to package; uv installs the packages alone
    whole = bool(table(project, "tool", "uv", "workspace") or table(project, "tool", "uv", "sources"))
    package = "build-system" in project
    return Manifest(
        "uv",
        packages,
        extras,
        () if whole else ("pyproject.toml",),
        "uv sync --no-dev" + ("" if whole else " --no-install-project"),
        "uv sync --no-dev" if package and not whole else "",
        evidence=says,
    )


def _poetry(tree: Tree, project: dict[str, Any], name: str) -> Manifest:
    if not project:
        raise broken("poetry.lock", "there is no pyproject.toml beside it", "Commit the pyproject.toml of poetry.lock.")
    packages, extras = _declared(project)
    poetry = table(project, "tool", "poetry")
    own = table(poetry, "dependencies")
    _add((f"{key}{_poetry_version(value)}" for key, value in own.items() if key != "python"), packages, extras)
    whole = any(isinstance(value, dict) and "path" in value for value in own.values())
    lock = tree.text("poetry.lock") if tree.is_file("poetry.lock") else ""
    locked = Evidence("poetry.lock", f"{_count(_locked(lock))}, locked")
    package = "build-system" in project and poetry.get("package-mode") is not False
    return Manifest(
        "poetry",
        packages,
        extras,
        () if whole else tree.present("pyproject.toml", "poetry.lock"),
        "poetry install --only main --no-root --no-interaction",
        "poetry install --only-root --no-interaction" if package and _has_package(tree, project) else "",
        evidence=(Evidence("pyproject.toml", summary(packages)), *((locked,) if lock else ())),
    )


def _pipenv(tree: Tree, project: dict[str, Any], name: str) -> Manifest:
    if not tree.is_file("Pipfile"):
        raise broken(
            "Pipfile.lock", "there is no Pipfile beside it", "Commit the Pipfile that Pipfile.lock belongs to."
        )
    pipfile = tree.toml("Pipfile")
    packages: dict[str, str] = {}
    extras: dict[str, str] = {}
    _add((f"{key}{_poetry_version(value)}" for key, value in table(pipfile, "packages").items()), packages, extras)
    locked = tree.is_file("Pipfile.lock")
    says = [Evidence("Pipfile", summary(packages))]
    if locked:
        says.append(Evidence("Pipfile.lock", f"{_count(len(table(tree.json('Pipfile.lock'), 'default')))}, locked"))
    whole = any(isinstance(value, dict) and "path" in value for value in table(pipfile, "packages").values())
    return Manifest(
        "pipenv",
        packages,
        extras,
        () if whole else tree.present("Pipfile", "Pipfile.lock"),
        "pipenv sync" if locked else "pipenv install --skip-lock",
        evidence=tuple(says),
    )


def _setup(tree: Tree, project: dict[str, Any], name: str) -> Manifest:
    text = tree.peek("setup.py") + tree.peek("setup.cfg")
    packages = {
        known: "" for known in ("flask", "fastapi", "django") if re.search(rf"\b{known}\b", text, re.IGNORECASE)
    }
    return Manifest("pip", packages, {}, (), "pip install .", evidence=(Evidence(name, summary(packages)),))


def _declared(project: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    packages: dict[str, str] = {}
    extras: dict[str, str] = {}
    listed = table(project, "project").get("dependencies")
    _add((text for text in listed if isinstance(text, str)) if isinstance(listed, list) else (), packages, extras)
    return packages, extras


def _add(requirements: Iterable[str], packages: dict[str, str], extras: dict[str, str]) -> None:
    for text in requirements:
        match = _REQUIREMENT.match(text)
        if match:
            name = re.sub(r"[-_.]+", "-", match[1]).lower()
            version = re.search(r"\d+(?:\.\d+)?", match[3] or "")
            packages.setdefault(name, version[0] if version else "")
            extras.setdefault(name, match[2] or "")


def _poetry_version(value: Any) -> str:
    if isinstance(value, dict):
        listed = value.get("extras")
        extras = ",".join(str(extra) for extra in listed) if isinstance(listed, list) else ""
        return f"[{extras}]{value.get('version', '')}"
    return value if isinstance(value, str) else ""


def _reads_files(project: dict[str, Any]) -> bool:
    """Some build systems need more than pyproject.toml even to say what the packages are."""
    dynamic = table(project, "project").get("dynamic")
    return isinstance(dynamic, list) and "dependencies" in dynamic


def _has_package(tree: Tree, project: dict[str, Any]) -> bool:
    name = table(project, "tool", "poetry").get("name") or table(project, "project").get("name")
    folder = re.sub(r"[-.]+", "_", name) if isinstance(name, str) else ""
    listed = table(project, "tool", "poetry").get("packages")
    return bool(listed) or (bool(folder) and (tree.is_dir(folder) or tree.is_dir(f"src/{folder}")))


def _wanted(tree: Tree, project: dict[str, Any]) -> tuple[str | None, str]:
    for name, pattern in (
        (".python-version", r"(?m)^\s*([^#\s]\S*)"),
        ("runtime.txt", r"(?mi)^\s*python-(\S+)"),
        (".tool-versions", r"(?m)^python\s+(\S+)"),
    ):
        match = re.search(pattern, tree.peek(name))
        if match:
            return match[1], name
    requires = table(tree.toml("Pipfile") if tree.is_file("Pipfile") else {}, "requires")
    pipfile = requires.get("python_full_version") or requires.get("python_version")
    if isinstance(pipfile, str):
        return pipfile, "Pipfile"
    asked = table(project, "project").get("requires-python") or table(project, "tool", "poetry", "dependencies").get(
        "python"
    )
    return (asked, "pyproject.toml") if isinstance(asked, str) else (None, "")


def summary(packages: Mapping[str, str]) -> str:
    """The packages worth naming, known servers and frameworks first: `flask 3.1, gunicorn 23`."""
    known = ("flask", "fastapi", "django", "starlette", "gunicorn", "uvicorn", "sqlalchemy")
    names = [name for name in known if name in packages] or list(packages)
    shown = [f"{name} {packages[name]}".strip() for name in names[:3]]
    return ", ".join(shown) or "no packages"


def _count(packages: int) -> str:
    return "1 package" if packages == 1 else f"{packages} packages"


def _locked(lock: str) -> int:
    """Packages of a lock file in TOML; counted, not parsed, as these files are long."""
    return len(re.findall(r"(?m)^\[\[package\]\]", lock))
