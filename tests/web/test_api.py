"""The law of the API, on real endpoints: envelope, errors, paging, names, headers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, make_response
from openapi_spec_validator import validate

from devflow.web.api import operation_of, plain_of
from devflow.web.openapi import document
from devflow.web.pages import toast
from tests.conftest import PASSWORD, Person, csrf

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def test_an_answer_has_the_envelope_and_its_request_id(ann: Person) -> None:
    answer = ann.client.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {ann.token}"})
    body = answer.get_json()
    assert body["success"] is True and body["data"]["email"] == ann.email
    assert MOMENT.fullmatch(body["meta"]["timestamp"]) and body["meta"]["version"] == "1.0"
    assert body["meta"]["request_id"] == answer.headers["X-Request-ID"]
    assert answer.headers["X-API-Version"] == "1.0" and answer.headers["Cache-Control"] == "no-store"


def test_a_given_request_id_is_kept_unless_it_is_rubbish(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/health", headers={"X-Request-ID": "abc-12345678"}).headers["X-Request-ID"] == "abc-12345678"
    assert client.get("/health", headers={"X-Request-ID": "<script>"}).headers["X-Request-ID"] != "<script>"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/api/v1/nothing", None, 404, "NOT_FOUND"),
        ("DELETE", "/api/v1/auth/me", None, 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/api/v1/projects/none", None, 404, "RESOURCE_NOT_FOUND"),
        ("GET", "/api/v1/deployments/none", None, 404, "DEPLOYMENT_NOT_FOUND"),
        ("POST", "/api/v1/projects", "{", 400, "BAD_REQUEST"),
        ("POST", "/api/v1/projects", "[1]", 400, "BAD_REQUEST"),
        ("POST", "/api/v1/projects", "{}", 422, "VALIDATION_ERROR"),
        ("POST", "/api/v1/projects", '{"repository_url": "https://e.com/a", "port": "x"}', 422, "VALIDATION_ERROR"),
        ("POST", "/api/v1/projects", '{"repository_url": "a\\u0000b"}', 422, "VALIDATION_ERROR"),
        ("GET", "/api/v1/deployments?status=strange", None, 422, "VALIDATION_ERROR"),
        ("GET", "/api/v1/projects?page=0", None, 422, "VALIDATION_ERROR"),
    ],
)
def test_an_error_says_what_and_why(
    ann: Person, method: str, path: str, body: str | None, status: int, code: str
) -> None:
    headers = {"Authorization": f"Bearer {ann.token}", "Content-Type": "application/json"}
    answer = ann.client.open(path, method=method, data=body, headers=headers)
    error = answer.get_json()["error"]
    assert (answer.status_code, error["status_code"], error["code"]) == (status, status, code)
    assert error["message"].endswith((".", "!")) and answer.get_json()["success"] is False
    if code == "VALIDATION_ERROR":
        assert error["details"]["errors"] and "VALIDATION_FAILED" in error["details"]["aliases"]


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("port", 70_000, "At most 65535."),
        ("port", "many", "A whole number."),
        ("name", "x" * 300, "At most 255 characters."),
        ("repository_url", "", "Needed."),
        ("size", "huge", "One of '', 'small', 'medium' or 'large'."),
        ("health_path", "up", "Start the path with a slash: /up"),
    ],
)
def test_a_field_says_what_it_takes(ann: Person, field: str, value: Any, says: str) -> None:
    error = ann.call("POST", "/projects", 422, **{"repository_url": "https://example.com/a", field: value})
    assert error["details"]["errors"] == [{"field": field, "message": says}]


def test_a_body_over_the_limit_is_refused(ann: Person) -> None:
    headers = {"Authorization": f"Bearer {ann.token}", "Content-Type": "application/json"}
    answer = ann.client.post("/api/v1/projects", data=b'{"name": "' + b"x" * 3_000_000 + b'"}', headers=headers)
    assert answer.status_code == 413 and answer.get_json()["error"]["code"] == "PAYLOAD_TOO_LARGE"


def test_camel_case_is_understood(ann: Person) -> None:
    made = ann.call(
        "POST", "/projects", 201, repositoryUrl="https://example.com/app", buildCommand="make", outputDir="out",
        healthPath="/up", envVars="A=1\nB=2",
    )  # fmt: skip
    assert (made["build_command"], made["output_dir"], made["health_path"]) == ("make", "out", "/up")
    assert made["environment_variables"] == {"A": "***", "B": "***"}


@pytest.fixture
def seven(ann: Person) -> list[dict[str, Any]]:
    return [
        ann.call("POST", "/projects", 201, repository_url=f"https://example.com/app{n}", name=f"App {n}")
        for n in range(7)
    ]


@pytest.mark.parametrize("lists", ["/projects", "/deployments", "/audit"])
@pytest.mark.parametrize(
    ("asked", "page", "limit", "offset"),
    [
        ("page=2&per_page=3", 2, 3, 3),
        ("page=2&limit=3", 2, 3, 3),
        ("limit=3&offset=4", 2, 3, 4),
        ("page=9&offset=0&limit=3", 1, 3, 0),
        ("per_page=5000", 1, 100, 0),
    ],
)
def test_every_list_takes_every_form_of_paging(
    ann: Person, seven: list[Any], lists: str, asked: str, page: int, limit: int, offset: int
) -> None:
    answer = ann.client.get(f"/api/v1{lists}?{asked}", headers={"Authorization": f"Bearer {ann.token}"}).get_json()
    found = answer["meta"]["pagination"]
    assert (found["page"], found["limit"], found["per_page"], found["offset"]) == (page, limit, limit, offset)
    assert found["total"] == found["total_items"] and found["last_page"] == found["total_pages"]
    assert found["count"] == len(answer["data"]) == max(0, min(limit, found["total"] - offset))
    assert found["has_more"] == (offset + found["count"] < found["total"])


def test_both_prefixes_answer_alike(ann: Person, seven: list[Any]) -> None:
    headers = {"Authorization": f"Bearer {ann.token}"}
    first = ann.client.get("/api/v1/projects", headers=headers).get_json()["data"]
    assert ann.client.get("/api/projects", headers=headers).get_json()["data"] == first


def test_credentials_are_limited_and_the_answer_says_how_long(app: Flask) -> None:
    app.config["DEVFLOW_AUTH_LIMIT"] = "5 per minute"
    client = app.test_client()
    login = {"email": "nobody@example.com", "password": "wrong password"}
    codes = [client.post("/api/v1/auth/login", json=login, environ_base={"REMOTE_ADDR": "10.9.8.7"}) for _ in range(6)]
    assert [answer.status_code for answer in codes] == [401] * 5 + [429]
    assert 0 < int(codes[-1].headers["Retry-After"]) <= 60
    assert codes[-1].get_json()["error"]["code"] == "RATE_LIMIT_EXCEEDED"
    assert codes[0].headers["X-RateLimit-Limit"] == "5"


def test_every_door_that_takes_a_password_counts_the_same_tries(app: Flask) -> None:
    app.config["DEVFLOW_AUTH_LIMIT"] = "5 per minute"
    client, body = app.test_client(), {"email": "nobody@example.com", "password": "wrong password"}
    form, here = {**body, "csrf_token": csrf(client)}, {"REMOTE_ADDR": "10.9.8.6"}
    for path in ("/api/v1/auth/login", "/api/auth/login", "/api/v1/auth/login", "/api/auth/login"):
        assert app.test_client().post(path, json=body, environ_base=here).status_code == 401
    assert client.post("/login", data=form, environ_base=here).status_code == 422
    assert client.post("/login", data=form, environ_base=here).status_code == 429
    assert app.test_client().post("/api/auth/login", json=body, environ_base=here).status_code == 429


def test_the_document_is_valid_and_complete(app: Flask) -> None:
    with app.test_request_context():
        found = document(app)
    validate(found)
    paths = {
        re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule) for rule in app.url_map.iter_rules() if _operation(app, rule)
    }
    assert set(found["paths"]) == paths
    assert found["paths"]["/api/v1/projects"]["post"]["security"] and not found["paths"]["/api/v1/auth/login"][
        "post"
    ].get("security")


def _operation(app: Flask, rule: Any) -> bool:
    view = app.view_functions[rule.endpoint]
    return rule.rule.startswith("/api/v1/") and (operation_of(view) or plain_of(view)) is not None


def test_pages_carry_a_strict_policy(app: Flask) -> None:
    answer = app.test_client().get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy
    nonce = re.search(r"'nonce-([^']+)'", policy)
    assert nonce and f'nonce="{nonce[1]}"' in answer.text
    assert answer.headers["X-Frame-Options"] == "DENY" and answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_change_by_cookie_needs_the_token_of_a_form(
    app: Flask, ann: Person, browser: Callable[[Person], Any]
) -> None:
    client = browser(ann)
    assert client.post("/settings/preferences", data={"theme": "dark"}).status_code == 403
    refused = client.post("/api/v1/projects", json={"repository_url": "https://example.com/a"})
    assert refused.status_code == 403 and refused.get_json()["error"]["code"] == "FORBIDDEN"


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_signing_in_never_leads_elsewhere(app: Flask, ann: Person, target: str) -> None:
    client = app.test_client()
    page = client.get("/login").text
    token = page[page.index('name="csrf_token"') :].split('value="', 1)[1].split('"', 1)[0]
    form = {"email": ann.email, "password": PASSWORD, "csrf_token": token}
    answer = client.post("/login", query_string={"next": target}, data=form)
    assert answer.status_code == 303 and answer.location == "/dashboard"


def test_an_unknown_part_of_a_page_is_not_found(ann: Person, browser: Callable[[Person], Any]) -> None:
    answer = browser(ann).get("/projects?block=nonsense", headers={"HX-Request": "true"})
    assert answer.status_code == 404


def test_a_toast_in_any_language_fits_into_a_header(app: Flask) -> None:
    with app.test_request_context():
        header = toast(make_response(""), "Gelöscht: 日本 …").headers["HX-Trigger"]
    header.encode("ascii")
    assert json.loads(header)["toast"]["text"] == "Gelöscht: 日本 …"


def test_health_says_what_it_has_checked(app: Flask) -> None:
    client = app.test_client()
    ready = client.get("/health/ready").get_json()["data"]
    assert ready["status"] == "ready" and ready["checks"]["database"]["latency_ms"] >= 0
    assert {name: check["status"] for name, check in ready["checks"].items()} == dict.fromkeys(
        ("database", "queue", "logs", "cache"), "ok"
    )
    assert {client.get(p).status_code for p in ("/health", "/api/health", "/api/v1/health/live")} == {200}


def test_no_address_that_the_document_allows_is_too_long_for_a_server(app: Flask) -> None:
    """Servers refuse a request line of 64 KiB before anybody can answer in the envelope."""
    for path, item in document(app)["paths"].items():
        for operation in item.values():
            longest = len(path)
            for parameter in operation["parameters"]:
                if parameter.get("in") in ("path", "query"):
                    longest += len(parameter["name"]) + 2 + _longest(parameter["schema"], parameter["name"])
            assert longest < 60_000, f"{operation['operationId']}: up to {longest} bytes"


def _longest(schema: dict[str, Any], name: str) -> int:
    """How many bytes a value may take in an address: a character is up to four bytes, a byte three when escaped."""
    if "anyOf" in schema:
        return max(_longest(one, name) for one in schema["anyOf"])
    pattern = schema.get("pattern", "")
    words = pattern.endswith("$") and not re.search(r"[*+{]", pattern)
    if schema.get("type") != "string" or words or schema.keys() & {"enum", "const", "format"}:
        return 64
    assert "maxLength" in schema, f"{name} may be of any length"
    plain = pattern.startswith("^[ -~]")
    return int(schema["maxLength"]) * (3 if plain else 12)
