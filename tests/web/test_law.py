"""The law of the API on bad days: origins, versions, methods, rubbish in bodies, the log, what hangs."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from devflow.app import create_app
from devflow.core import journal
from devflow.core.errors import Invalid
from devflow.core.paging import ListQuery
from devflow.features.accounts.service import people
from devflow.web.api import ApiBlueprint, document, operation_of
from devflow.web.headers import log_context
from devflow.web.versions import Deprecation
from tests.conftest import Person

HOME, OTHER, STRANGER = "https://app.example.com", "http://localhost:3000", "https://evil.example"


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"frontend_url": HOME + "/", "cors_origins": f"{OTHER}, https://second.example.com"}


@pytest.fixture
def bearer(ann: Person) -> dict[str, str]:
    return {"Authorization": f"Bearer {ann.token}"}


# Other origins


@pytest.mark.parametrize("origin", [HOME, OTHER, "https://second.example.com"])
def test_a_known_origin_may_ask_with_credentials(app: Flask, origin: str) -> None:
    asks = {"Origin": origin, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "x-team-id"}
    answer = app.test_client().options("/api/v1/projects/some", headers=asks)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
    assert "x-team-id" in answer.headers["Access-Control-Allow-Headers"].lower()
    refused = app.test_client().get("/api/v1/projects", headers={"Origin": origin})
    assert refused.status_code == 401 and refused.headers["Access-Control-Allow-Origin"] == origin
    exposed = refused.headers["Access-Control-Expose-Headers"]
    assert all(name in exposed for name in ("X-Request-ID", "X-RateLimit-Remaining", "X-API-Version", "Retry-After"))
    assert "Origin" in refused.headers["Vary"]


@pytest.mark.parametrize("origin", [STRANGER, "null", HOME + ".evil.example", "https://app.example.com:444", "*"])
def test_another_origin_gets_nothing(app: Flask, origin: str) -> None:
    asks = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    for answer in (
        app.test_client().options("/api/v1/projects", headers=asks),
        app.test_client().get("/api/v1/projects", headers={"Origin": origin}),
        app.test_client().get("/api/v1/nothing", headers={"Origin": origin}),
    ):
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")]


def test_pages_are_for_no_other_origin(app: Flask) -> None:
    answer = app.test_client().get("/login", headers={"Origin": HOME})
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("wrong", ["*", "app.example.com", "https://*.example.com", "https://u@example.com"])
def test_what_is_no_origin_stops_the_start(tmp_path: Any, wrong: str) -> None:
    with pytest.raises(Invalid, match="CORS_ORIGINS"):
        create_app({"data_dir": tmp_path, "environment": "test", "cors_origins": wrong})


# Versions and ends


@pytest.mark.parametrize("version", ["1.0", "1", " 1.0 "])
def test_a_known_version_may_be_asked_for(app: Flask, version: str) -> None:
    answer = app.test_client().get("/api/v1/info", headers={"X-API-Version": version})
    assert answer.status_code == 200 and answer.headers["X-API-Version"] == "1.0"


@pytest.mark.parametrize("version", ["2.0", "v1", "", "1.0.0", "latest"])
def test_another_version_is_refused(app: Flask, version: str) -> None:
    answer = app.test_client().get("/api/projects", headers={"X-API-Version": version})
    assert answer.status_code == 400 and answer.get_json()["error"]["code"] == "BAD_REQUEST"
    assert answer.headers["X-API-Version"] == "1.0" and "1.0" in answer.get_json()["error"]["message"]


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/projects", "/api/v1/auth/login"])
def test_refusals_name_the_version_too(app: Flask, path: str) -> None:
    assert app.test_client().get(path).headers["X-API-Version"] == "1.0"


def test_an_end_is_announced_in_every_answer_and_in_the_document(app: Flask) -> None:
    old = ApiBlueprint("old", __name__)
    ending = Deprecation(date(2026, 1, 31), date(2026, 8, 1), "https://example.com/docs/moving")

    @old.get("/old", calls=people.me, deprecated=ending)
    def show() -> None:
        """Something old."""

    app.register_blueprint(old, url_prefix="/api/v1")
    answer = app.test_client().get("/api/v1/old")
    assert answer.status_code == 401
    assert answer.headers["Deprecation"] == "@1769817600"
    assert answer.headers["Sunset"] == "Sat, 01 Aug 2026 00:00:00 GMT"
    assert answer.headers["Link"] == '<https://example.com/docs/moving>; rel="deprecation"; type="text/html"'
    with app.test_request_context():
        told = document(app)["paths"]["/api/v1/old"]["get"]
    assert told["deprecated"] and "2026-08-01" in told["description"]
    assert "Deprecation" not in app.test_client().get("/api/v1/projects").headers


# Methods


def test_every_route_answers_head_and_options(app: Flask, ann: Person, bearer: dict[str, str]) -> None:
    client = app.test_client()
    for rule in app.url_map.iter_rules():
        if "<" in rule.rule or "sockets" in rule.endpoint:
            continue
        allowed = client.options(rule.rule)
        assert allowed.status_code == 200, rule.rule
        said = {word.strip() for word in allowed.headers["Allow"].split(",")}
        assert said >= set(rule.methods or ()), (rule.rule, said)
        if "GET" in (rule.methods or ()) and rule.rule.startswith("/api/"):
            got, head = client.get(rule.rule, headers=bearer), client.head(rule.rule, headers=bearer)
            assert (head.status_code, head.data) == (got.status_code, b""), rule.rule
            assert set(head.headers.keys()) == set(got.headers.keys()), rule.rule


def test_put_and_patch_are_one(app: Flask) -> None:
    for rule in app.url_map.iter_rules():
        if operation_of(app.view_functions[rule.endpoint]) is not None:
            assert ("PUT" in rule.methods) == ("PATCH" in rule.methods), rule.rule


# Bodies


DEEP = "[" * 100_000 + "]" * 100_000
BODIES: dict[str, bytes] = {
    "broken": b'{"name": ',
    "nothing but a brace": b"{",
    "not UTF-8": b'{"name": "\xff\xfe"}',
    "half a surrogate pair": b'{"name": "\\ud800", "repository_url": "https://e.com/a"}',
    "NUL": b'{"name": "a\\u0000b", "repository_url": "https://e.com/a"}',
    "NUL deep down": b'{"repository_url": "https://e.com/a", "environment_variables": {"A": "x\\u0000"}}',
    "NUL in a name": b'{"repository_url": "https://e.com/a", "environment_variables": {"A\\u0000": "x"}}',
    "deep": f'{{"environment_variables": {DEEP}}}'.encode(),
    "deep objects": ('{"a":' * 5000 + "1" + "}" * 5000).encode(),
    "a huge whole number": b'{"repository_url": "https://e.com/a", "port": ' + b"9" * 5000 + b"}",
    "a huge float": b'{"repository_url": "https://e.com/a", "cpus": 1e999}',
    "not a number": b'{"repository_url": "https://e.com/a", "cpus": NaN}',
    "many items": b'{"repository_url": "https://e.com/a", "environment_variables": ['
    + b",".join(b'"x"' for _ in range(10_000)) + b"]}",
    "a list": b"[1, 2]",
    "a word": b'"x"',
    "null": b"null",
}  # fmt: skip


READABLE = tuple(kind for kind in BODIES if kind.startswith(("NUL", "a huge whole", "many items")))
"""What is read before it is refused, so that every operation has to refuse it by itself."""


@pytest.mark.parametrize("kind", BODIES)
def test_rubbish_is_refused(ann: Person, bearer: dict[str, str], kind: str) -> None:
    headers = {**bearer, "Content-Type": "application/json"}
    answer = ann.client.post("/api/v1/projects", data=BODIES[kind], headers=headers)
    assert answer.status_code in (400, 422), answer.text
    assert answer.get_json()["error"]["message"] and answer.get_json()["meta"]["request_id"]


def test_no_operation_breaks_on_what_can_be_read(app: Flask, ann: Person, bearer: dict[str, str]) -> None:
    headers, wrong, tried = {**bearer, "Content-Type": "application/json"}, [], 0
    for rule in app.url_map.iter_rules():
        operation = operation_of(app.view_functions[rule.endpoint])
        if operation is None or operation.body is None or not rule.endpoint.startswith("api."):
            continue
        path = rule.rule.replace("<", "").replace(">", "")
        method = min(set(rule.methods or ()) - {"OPTIONS", "HEAD"})
        for kind in READABLE:
            answer = ann.client.open(path, method=method, data=BODIES[kind], headers=headers)
            tried += 1
            if answer.status_code >= 500:
                wrong.append((method, path, kind, answer.text))
    assert wrong == [] and tried > 50


def test_the_last_of_two_equal_names_counts(ann: Person, bearer: dict[str, str]) -> None:
    body = b'{"repository_url": "https://e.com/a", "name": "First", "name": "Second"}'
    headers = {**bearer, "Content-Type": "application/json"}
    made = ann.client.post("/api/v1/projects", data=body, headers=headers)
    assert made.status_code == 201 and made.get_json()["data"]["name"] == "Second"


@pytest.mark.parametrize("kind", ["application/xml", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_another_content_type_is_refused(ann: Person, bearer: dict[str, str], kind: str) -> None:
    answer = ann.client.post("/api/v1/projects", data=b"a=b", headers={**bearer, "Content-Type": kind})
    assert answer.status_code == 400 and "application/json" in answer.get_json()["error"]["message"]


@pytest.mark.parametrize("path", ["/api/v1/projects/%00", "/projects/a%00b", "/api/v1/deployments/x%00/logs"])
def test_a_nul_in_an_address_is_nowhere(ann: Person, bearer: dict[str, str], path: str) -> None:
    assert ann.client.get(path, headers=bearer).status_code == 404


def test_the_order_of_refusals(app: Flask, ann: Person, person: Callable[..., Person]) -> None:
    made = ann.call("POST", "/projects", 201, repository_url="https://example.com/a")
    path, broken = f"/api/v1/projects/{made['id']}", b"{"
    json_type = {"Content-Type": "application/json"}
    assert app.test_client().put(path, data=broken, headers=json_type).status_code == 401
    bob = person("Bob")
    theirs = {"Authorization": f"Bearer {bob.token}", **json_type}
    assert bob.client.put(path, data=broken, headers=theirs).status_code == 400
    assert bob.client.put(path, data=b'{"port": 0}', headers=theirs).status_code == 422
    assert bob.client.put(path, data=b'{"port": 80}', headers=theirs).status_code == 404


# Lists


def _lists(app: Flask) -> list[str]:
    found = []
    for rule in app.url_map.iter_rules():
        operation = operation_of(app.view_functions[rule.endpoint])
        whole = operation is not None and "<" not in rule.rule and rule.rule.startswith("/api/v1/")
        if whole and operation and operation.query and issubclass(operation.query, ListQuery):
            found.append(rule.rule)
    return found


PAGING = {
    "page=2&per_page=3": (2, 3, 3),
    "page=2&limit=3": (2, 3, 3),
    "page=2&perPage=3": (2, 3, 3),
    "limit=3&offset=4": (2, 3, 4),
    "page=9&offset=0&limit=3": (1, 3, 0),
    "per_page=5000": (1, 100, 0),
}
"""What is asked: page, limit and offset that are answered."""


def test_all_lists_take_all_forms_of_paging(app: Flask, ann: Person, bearer: dict[str, str]) -> None:
    lists = _lists(app)
    assert {f"/api/v1{path}" for path in ("/teams", "/auth/sessions", "/security/permissions")} <= set(lists)
    for path in lists:
        for asked, (page, limit, offset) in PAGING.items():
            answer = ann.client.get(f"{path}?{asked}", headers=bearer)
            assert answer.status_code == 200, (path, answer.text)
            found = answer.get_json()["meta"]["pagination"]
            assert (found["page"], found["per_page"], found["offset"]) == (page, limit, offset), (path, asked)
            assert found["limit"] == limit and found["current_page"] == page, (path, asked)
            assert found["count"] == len(answer.get_json()["data"]), (path, asked)
            assert {"total", "total_items", "last_page", "total_pages", "has_more"} <= set(found), path


# The log


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """The journal of this test, as the web process writes it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(journal.JsonLines(log_context))
    root = logging.getLogger()
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)


def test_one_line_a_request_says_who_and_what_but_no_secret(
    app: Flask, ann: Person, bearer: dict[str, str], written: io.StringIO
) -> None:
    ann.client.get("/api/v1/projects/none?token=geheim&search=privat", headers={**bearer, "X-Request-ID": "abcdefgh1"})
    line = json.loads(written.getvalue().splitlines()[-1])
    assert line["user_id"] == ann.id and line["token_id"] is None and line["request_id"] == "abcdefgh1"
    assert (line["method"], line["route"], line["status"]) == ("GET", "/api/v1/projects/<project_id>", 404)
    assert line["ms"] >= 0 and line["bytes"] > 0 and line["ip"] == "127.0.0.1" and line["logger"] == "devflow.access"
    assert "geheim" not in written.getvalue() and "privat" not in written.getvalue() and ann.token not in str(line)


def test_an_attempt_to_sign_in_is_logged_without_the_password(app: Flask, ann: Person, written: io.StringIO) -> None:
    app.test_client().post("/api/v1/auth/login", json={"email": ann.email, "password": "not this one"})
    line = json.loads(written.getvalue().splitlines()[-1])
    assert (line["route"], line["status"]) == ("/api/v1/auth/login", 401)
    assert "not this one" not in written.getvalue()


def test_a_failure_is_told_with_its_stack_in_the_log_and_without_it_outside(
    app: Flask, written: io.StringIO, client: FlaskClient
) -> None:
    answer = client.get("/api/v1/boom")
    assert answer.status_code == 500 and "Traceback" not in answer.text and "ZeroDivision" not in answer.text
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    told = next(line for line in lines if "stack" in line)
    assert "ZeroDivisionError" in told["stack"] and told["request_id"] == answer.get_json()["meta"]["request_id"]


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of an app with a route that fails."""
    app.add_url_rule("/api/v1/boom", "boom", lambda: str(1 // 0))
    return app.test_client()


def test_a_probe_leaves_no_line(app: Flask, written: io.StringIO) -> None:
    app.test_client().get("/health/live")
    assert written.getvalue() == ""


def test_a_line_is_written_whatever_is_in_it() -> None:
    # By hand: what pytest keeps of the journal could not be sent between its own processes.
    record = logging.LogRecord("devflow", logging.WARNING, "", 0, "half \ud800 and\nline end", None, None)
    text = journal.JsonLines(dict).format(record)
    assert len(text.splitlines()) == 1 and "line end" in json.loads(text)["message"]


# Headers


@pytest.mark.parametrize("path", ["/", "/login", "/nothing", "/static/app.css", "/static/nothing", "/api/v1/nothing"])
def test_every_answer_is_guarded(app: Flask, path: str) -> None:
    headers = app.test_client().get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] and headers["Permissions-Policy"] and headers["X-Request-ID"]
