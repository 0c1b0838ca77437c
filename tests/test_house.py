"""The house rules that no tool knows: privacy of models, sizes, names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "devflow"
FILES = sorted(PACKAGE.rglob("*.py"))
DUMPING_GROUNDS = {"utils", "util", "helpers", "common", "misc", "base"}


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for file in FILES:
        yield file, ast.parse(file.read_text())


def test_a_feature_enters_another_only_by_its_service_schemas_or_events() -> None:
    wrong = []
    for file, tree in trees():
        if "features" not in file.parts:
            continue
        own = file.relative_to(PACKAGE / "features").parts[0]
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("devflow.features."):
                parts = (node.module or "").split(".")
                feature = parts[2] if len(parts) > 2 else node.names[0].name
                rooms = [parts[3]] if len(parts) > 3 else [name.name for name in node.names]
                if feature != own and not set(rooms) <= {"service", "schemas", "events"}:
                    wrong.append(f"{file.relative_to(ROOT)}: {node.module} ({', '.join(rooms)})")
    assert wrong == []


def test_no_module_is_a_dumping_ground() -> None:
    assert [file for file in FILES if file.stem in DUMPING_GROUNDS or file.parent.name in DUMPING_GROUNDS] == []


@pytest.mark.parametrize("folder", ["devflow", "tests", "static", "templates"])
def test_files_stay_readable(folder: str) -> None:
    found = [p for p in (ROOT / folder).rglob("*") if p.suffix in (".py", ".js", ".html") and "vendor" not in p.parts]
    long = {str(p.relative_to(ROOT)): n for p in found if (n := len(p.read_text().splitlines())) > 400}
    assert long == {}


def test_functions_stay_readable() -> None:
    long = {}
    for file, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
                doc = ast.get_docstring(node, clean=False)
                lines = node.end_lineno - node.lineno + 1 - (len(doc.splitlines()) + 1 if doc else 0)
                if lines > 45:
                    long[f"{file.relative_to(ROOT)}:{node.name}"] = lines
    assert long == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [str(file.relative_to(ROOT)) for file, tree in trees() if tree.body and not ast.get_docstring(tree)]
    assert silent == []
