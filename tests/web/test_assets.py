"""The front end as it is shipped: nothing stale, nothing missing, nothing the content security policy would refuse."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "templates"
STATIC = ROOT / "static"
FRONTEND = ROOT / "frontend"
PAGES = sorted(TEMPLATES.rglob("*.html"))
SCRIPTS = sorted(STATIC.glob("*.js"))
SPRITE = set(re.findall(r'<symbol id="([^"]+)"', (STATIC / "icons.svg").read_text()))


def environment() -> Environment:
    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)


def names(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def markup(path: Path) -> str:
    """The template without its comments."""
    return re.sub(r"\{#.*?#\}", "", path.read_text(), flags=re.S)


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_a_template_compiles(page: Path) -> None:
    env = environment()
    for name in ("exact", "ago", "duration", "bytes", "short", "initials", "hue"):
        env.filters[name] = str
    env.compile(page.read_text(), names(page))


# Letters are read outside our policy, by programs that know no stylesheet.
@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name != "mail"], ids=names)
def test_a_template_has_nothing_inline(page: Path) -> None:
    text = markup(page)
    assert not re.findall(r"""\sstyle\s*=\s*["']""", text), "style attributes are refused by the policy; use a class"
    assert not re.findall(r"""<[^>]*\s(on[a-z]+)\s*=\s*["']""", text), "handlers live in static/*.js"
    assert "hx-on" not in text and 'hx-vals="js:' not in text, "both need eval"
    assert "<style" not in text
    assert not re.findall(r'hx-trigger="[^"]*\[', text), "trigger filters need eval"
    for script in re.findall(r"<script[^>]*>", text):
        assert "src=" in script or "nonce=" in script, script


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_nothing_comes_from_elsewhere(page: Path) -> None:
    for tag in re.findall(r"<(?:script|link|img|use|iframe)\b[^>]*>", markup(page)):
        assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", tag), tag


def used_icons() -> dict[str, str]:
    """Every icon a template or a script names, with the first place that names it."""
    found: dict[str, str] = {}
    for page in PAGES:
        text = markup(page)
        literal = re.findall(r"""icon\(\s*['"]([a-z0-9-]+)['"]""", text)
        literal += re.findall(r"""icons\.svg'\)\s*\}\}#([a-z0-9-]+)""", text)
        literal += re.findall(r"""\bicon=['"]([a-z0-9-]+)['"]""", text)
        literal += re.findall(r"""['"](st-[a-z]+)['"]""", text)
        literal += re.findall(r"""ui\.empty\(\s*['"]([a-z0-9-]+)['"]""", text)
        for icon in literal:
            found.setdefault(icon, names(page))
    for script in SCRIPTS:
        for icon in re.findall(
            r"""#((?:st-)?[a-z][a-z0-9-]*)["'`]/?>?\s*</use>|icon\(["']([a-z0-9-]+)""", script.read_text()
        ):
            found.setdefault(icon[0] or icon[1], names(script))
    return found


def test_every_icon_is_in_the_sprite() -> None:
    used = used_icons()
    assert len(used) > 30
    missing = {icon: where for icon, where in used.items() if icon not in SPRITE}
    assert not missing


@pytest.mark.parametrize("page", [p for p in PAGES if p.parent.name == "components"], ids=names)
def test_every_macro_says_what_it_is(page: Path) -> None:
    text = page.read_text()
    macros = re.findall(r"(\{#(?:(?!#\}).)*#\}\s*)?\{%-?\s*macro\s+(\w+)\(", text, flags=re.S)
    assert macros or page.name == "ui.html"
    for comment, name in macros:
        assert comment.strip(), f"{name} has no comment above it"
        assert re.match(rf"\{{#\s*{name}\(", comment), f"the comment above {name} does not start with its call"


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_assets_and_includes_exist(page: Path) -> None:
    text = markup(page)
    for asset in re.findall(r"""asset\(['"]([^'"]+)['"]\)""", text):
        assert (STATIC / asset).is_file(), asset
    for template in re.findall(r"""\{%-?\s*(?:extends|include|import|from)\s+['"]([^'"]+)['"]""", text):
        assert (TEMPLATES / template).is_file(), template


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_posting_form_carries_the_token(page: Path) -> None:
    for form in re.findall(r"""<form\b[^>]*method=["']post["'][^>]*>.{0,400}""", markup(page), flags=re.S):
        assert "csrf()" in form, form[:120]


def test_the_stylesheet_is_the_compiled_one(tmp_path: Path) -> None:
    """Fails when a template uses a class that was never compiled: it would silently do nothing."""
    node = shutil.which("npm")
    if node is None:
        # Without node nothing can be compiled; the classes of the templates are then checked against the sheet itself.
        sheet = (STATIC / "app.css").read_text()
        for wanted in (".panel", ".stats", ".grid-table", ".log", ".fld", ".kv"):
            assert wanted in sheet
        return
    if not (FRONTEND / "node_modules/@tailwindcss/cli").is_dir():
        # Not `npm ci`: it insists on the binaries of every platform, which not every mirror of the registry keeps.
        command = [node, "install", "--ignore-scripts", "--no-save"]
        subprocess.run(command, cwd=FRONTEND, check=True, capture_output=True, timeout=240)
    made = tmp_path / "app.css"
    subprocess.run(
        [FRONTEND / "node_modules/.bin/tailwindcss", "-i", "input.css", "-o", made, "--minify"],
        cwd=FRONTEND,
        check=True,
        capture_output=True,
        timeout=240,
    )
    assert made.read_text() == (STATIC / "app.css").read_text(), (
        "static/app.css is stale: run `npm run build` in frontend/"
    )


def test_the_vendored_library_is_the_locked_one() -> None:
    lock = (FRONTEND / "package-lock.json").read_text()
    version = re.search(r'"node_modules/htmx.org": \{\s*"version": "([^"]+)"', lock)
    assert version
    assert f'"{version[1]}"' in (STATIC / "vendor/htmx.min.js").read_text()
    assert "resolved" not in lock, "the lock must not name a registry"
