from __future__ import annotations

from pathlib import Path

import pytest

from devflow.core import settings_doc
from devflow.core.settings import Settings

ROOT = Path(__file__).parents[2]
STALE = "out of date: run `devflow settings --write`"


def test_the_written_pages_are_current() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == settings_doc.configuration(), STALE
    assert (ROOT / ".env.example").read_text() == settings_doc.example(), STALE


def test_every_setting_is_told_with_a_description() -> None:
    page, example = settings_doc.configuration(), settings_doc.example()
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name} has no description"
        assert field.description.replace("|", "\\|") in page
        assert f"#{name.upper()}=" in example or field.validation_alias, name


def test_the_example_uncommented_is_a_configuration_of_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DEVFLOW_ENV", "APP_ENV", "FLASK_ENV", "NODE_ENV", *(n.upper() for n in Settings.model_fields)):
        monkeypatch.delenv(name, raising=False)
    lines = [line.removeprefix("#") for line in settings_doc.example().splitlines() if line[:2] != "# "]
    (tmp_path / ".env").write_text("\n".join(lines))
    assert Settings(_env_file=tmp_path / ".env") == Settings(_env_file=None)  # type: ignore[call-arg]


def test_writing_twice_changes_nothing_the_second_time(tmp_path: Path) -> None:
    assert len(settings_doc.write(tmp_path)) == 2
    assert settings_doc.write(tmp_path) == []
