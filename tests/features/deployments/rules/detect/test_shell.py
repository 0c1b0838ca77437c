"""Commands of people in a Dockerfile."""

from __future__ import annotations

import subprocess

import pytest

from devflow.core.errors import Invalid
from devflow.features.deployments.rules.detect import build_env
from devflow.features.deployments.rules.detect.shell import one_line, replacing


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("gunicorn app:app", "exec gunicorn app:app"),
        ("gunicorn 'app:make()'", "exec gunicorn 'app:make()'"),
        ('serve --say "a; b | c"', 'exec serve --say "a; b | c"'),
        ("serve --port ${PORT:-80}", "exec serve --port ${PORT:-80}"),
        ("A=1 serve", "A=1 exec serve"),
        ("A='x y' B=2 serve", "A='x y' B=2 exec serve"),
        ("migrate && serve", "migrate && exec serve"),
        ("cd web; A=1 serve", "cd web; A=1 exec serve"),
        ("exec serve", "exec serve"),
        ("cd web", "cd web"),
        ("serve | tee log", "serve | tee log"),
        ("serve || true", "serve || true"),
        ("serve &", "serve &"),
        ("(serve)", "(serve)"),
        ("if true; then serve; fi", "if true; then serve; fi"),
        ("serve $(nproc)", "serve $(nproc)"),
        ("serve # all", "serve # all"),
        ("serve 'open", "serve 'open"),
        ("", ""),
    ],
)
def test_the_last_program_replaces_the_shell_where_that_is_certain(command: str, expected: str) -> None:
    assert replacing(command) == expected


@pytest.mark.parametrize("command", ["A=1 sh -c 'echo $A'", "A='x y'; export A; sh -c 'echo $A'", "true && echo one"])
def test_replacing_the_shell_changes_nothing_that_is_printed(command: str) -> None:
    said = [
        subprocess.run(["sh", "-c", text], capture_output=True, check=True).stdout
        for text in (command, replacing(command))
    ]
    assert said[0] == said[1] != b""


@pytest.mark.parametrize("command", ["a\nb", "a\rb", "a\0b", "a \\", "a \\\\\\"])
def test_a_command_cannot_leave_its_line(command: str) -> None:
    with pytest.raises(Invalid) as refusal:
        one_line("build_command", command)
    assert list(refusal.value.fields) == ["build_command"]


def test_an_escaped_backslash_at_the_end_stays() -> None:
    assert one_line("build_command", "echo a\\\\") == "echo a\\\\"


def test_a_shell_reads_the_build_environment_as_it_was() -> None:
    values = {"PLAIN": "a", "HARD": 'it\'s "$HOME" `id` \\ \n two lines\tand é', "EMPTY": ""}
    script = "set -a\n" + build_env({**values, "not a name": "x", "1ST": "x", "A;id": "x"}) + "set +a\nexec env -0"
    out = subprocess.run(["sh", "-c", script], capture_output=True, check=True, env={"PATH": "/usr/bin:/bin"}).stdout
    seen = dict(line.partition("=")[::2] for line in out.decode().split("\0") if line)
    assert {name: seen[name] for name in values} == values
    assert not {"not a name", "1ST"} & set(seen)
