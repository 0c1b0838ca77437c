"""The API reference: whole, searchable, and from nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

from flask import Flask
from markupsafe import escape

import devflow
from devflow.core.codes import CODES
from devflow.web.api import document


def test_every_operation_is_there_with_a_call_to_copy(app: Flask) -> None:
    page = app.test_client().get("/docs").text
    with app.test_request_context():
        told = document(app)
    for path, item in told["paths"].items():
        for method, operation in item.items():
            assert f'id="{operation["operationId"].replace(".", "-")}"' in page, (method, path)
    assert page.count("curl ") > sum(len(item) for item in told["paths"].values())
    assert not re.search(r"""(src|href)=["']https?://""", page), "nothing from another server"


def test_every_code_that_can_be_answered_is_explained(app: Flask) -> None:
    code = re.compile(r'(?:\bcode ?= ?"|\bcode, status = "|^    \d{3}: ")([A-Z_]+)"', re.M)
    source = Path(devflow.__file__).parent
    rooms = (source / "core", source / "web", source / "features")
    said = {found for room in rooms for file in room.rglob("*.py") for found in code.findall(file.read_text())}
    assert {"INVALID_STATE", "REAUTHENTICATION_REQUIRED", "PAYLOAD_TOO_LARGE", "DEPLOYMENT_NOT_FOUND"} <= said
    assert said <= set(CODES)
    page = app.test_client().get("/docs").text
    for name, meaning in CODES.items():
        assert f">{name}</code>" in page and escape(meaning.says) in page, name


def test_a_search_finds_by_address_and_purpose(app: Flask) -> None:
    client = app.test_client()
    found = client.get("/docs?search=rollback&block=operations", headers={"HX-Request": "true"})
    assert found.status_code == 200 and "/projects/{project_id}/rollback" in found.text
    assert "/auth/login" not in found.text and "<html" not in found.text
    nothing = client.get("/docs?search=<script>alert(1)</script>").text
    assert "No operation matches" in nothing and "<script>alert" not in nothing


def test_the_document_says_what_an_operation_needs(app: Flask) -> None:
    with app.test_request_context():
        told = document(app)
    create = told["paths"]["/api/v1/projects"]["post"]
    assert create["x-permission"] == "projects:create" and create["x-scope"] == "write"
    assert {"400", "401", "403", "409", "413", "422", "429", "503"} <= set(create["responses"])
    assert {"$ref": "#/components/parameters/IdempotencyKey"} in create["parameters"]
    assert create["requestBody"]["content"]["application/json"]["example"]["repository_url"]
    assert "sensitive" in told["paths"]["/api/v1/projects/{project_id}"]["delete"]["description"]
    assert told["paths"]["/api/v1/health"]["get"]["security"] == []
