"""Every operation of the document against the running server: what it answers is what it says, and never a 5xx."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from werkzeug.serving import make_server

from tests.conftest import PASSWORD

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance",
)  # fmt: skip
LEFT_OUT: dict[str, str] = {
    r"/auth/logout$": "ends the session that everything else is asked with",
    r"/user/account$": "deletes the account that everything else is asked with",
    r"/auth/sessions": "ends sessions, that one among them",
    r"/users/\{user_id\}": "takes rights from whoever asks: the run finds its own id",
    r"/team/members/\{member_id\}": "takes rights from whoever asks: the run finds its own id",
    r"/mail/test$": "sends a letter for each call",
}
"""By the reason why it cannot be tried with made up data; all have tests of their own in tests/features."""
OWN_TOKEN = r"/auth/token$"
"""With DELETE it ends the session it is asked with; with POST it is tried."""
UNSET = r"/auth/(github|google|oidc)(/callback)?$|/github/connect$"
"""Without a provider they answer 503 and name the variables to set, as they should."""


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    """The app behind a real socket."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(10)


@pytest.fixture
def try_all(address: str, tmp_path: Path) -> Callable[..., str]:
    """Run schemathesis; returns its summary."""

    def run(*options: str) -> str:
        config = tmp_path / "schemathesis.toml"
        config.write_text(
            "[phases.coverage]\nunexpected-methods = []\ngenerate-duplicate-query-parameters = false\n"
            f"[[operations]]\ninclude-path-regex = '{UNSET}'\n"
            'checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 503]\n'
            f"[[operations]]\ninclude-path-regex = '{OWN_TOKEN}'\ninclude-method = 'DELETE'\nenabled = false\n"
        )
        left_out = ("--exclude-path-regex", "|".join(LEFT_OUT))  # given twice, only one of them would count
        words = [
            str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config),
            "run", f"{address}/api/v1/openapi.json", "--checks", ",".join(CHECKS), "--generation-deterministic",
            "--workers", "2", "--no-color", "--warnings", "off", "--max-failures", "30", "--continue-on-failure",
            "--no-shrink", "--output-sanitize", "false",
            "--header", "Accept: application/json", *left_out, *options,
        ]  # fmt: skip
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=400, env=dict(os.environ))
        summary = done.stdout[done.stdout.find("=== SUMMARY") :]
        assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-2000:]
        assert not re.search(r"❌|Errors:", summary), summary
        return summary

    return run


def _tested(summary: str) -> int:
    found = re.search(r"Tested: (\d+)", summary)
    assert found, summary
    return int(found[1])


def test_an_administrator_finds_what_the_document_says(
    address: str, try_all: Callable[..., str], record_property: Callable[[str, Any], None]
) -> None:
    body = {"name": "Ann", "email": "ann@example.com", "password": PASSWORD}
    made = requests.post(f"{address}/api/v1/auth/register", json=body, timeout=10).json()["data"]
    bearer = f"Authorization: Bearer {made['access_token']}"
    summary = try_all("--header", bearer, "--phases", "examples,coverage,fuzzing", "--max-examples", "8")
    record_property("printed", summary)
    assert _tested(summary) > 80
    still = requests.get(f"{address}/api/v1/auth/me", headers=dict([bearer.split(": ", 1)]), timeout=10)
    assert still.status_code == 200, "the run has ended its own session, so most of it saw nothing but 401"


def test_a_stranger_finds_what_the_document_says(
    try_all: Callable[..., str], record_property: Callable[[str, Any], None]
) -> None:
    summary = try_all("--phases", "examples,fuzzing", "--max-examples", "4")
    record_property("printed", summary)
    assert _tested(summary) > 80
