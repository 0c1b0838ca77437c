"""Projects over the API: names, variables, changes, deletion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from devflow.core.db import db
from devflow.features.projects.schemas import parse_variables, short_name, slug_from, with_scheme
from tests.conftest import Person

URL = "https://example.com/team/My%20Shop.git"


@pytest.mark.parametrize(
    ("name", "slug"),
    [("My Café", "my-cafe"), ("  --x--  ", "x"), ("日本", "app"), ("a" * 80, "a" * 63), ("A_b.c", "a-b-c")],
)
def test_a_slug_is_made_of_a_name(name: str, slug: str) -> None:
    assert slug_from(name) == slug


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://host/owner/app.git", "app"),
        ("git@host:owner/app.git", "app"),
        ("ssh://git@host:22/owner/app", "app"),
        ("/srv/git/app/", "app"),
    ],
)
def test_a_repository_has_a_short_name(url: str, name: str) -> None:
    assert short_name(url) == name


@pytest.mark.parametrize(
    "url",
    [
        "https://ann:s3cret@example.com/shop.git",
        "https://ghp_0123456789abcdefghij@example.com/shop.git",
        "ssh://git:s3cret@example.com/shop.git",
        "https://[example.com/shop.git",
        "shop",
        "not a url",
        "-uwhoami:x",
        "ext::sh -c id",
    ],
)
def test_an_address_that_is_none_or_tells_a_secret_is_refused_at_every_door(ann: Person, url: str) -> None:
    assert ann.call("POST", "/projects", 422, repository_url=url)["code"] == "INVALID_REPOSITORY"
    assert ann.call("POST", "/deployments", 422, repository=url)["code"] == "INVALID_REPOSITORY"
    ann.call("POST", "/projects", 201, repository_url=URL, name="Shop")
    assert ann.call("PUT", "/projects/shop", 422, repository_url=url)["code"] == "INVALID_REPOSITORY"
    assert ann.call("GET", "/projects/shop")["repository"] == URL


@pytest.mark.parametrize(
    "url", ["https://ann@example.com/shop.git", "git@example.com:shop.git", "ssh://git@[::1]:22/shop", "/srv/my shop"]
)
def test_a_plain_address_is_kept(ann: Person, url: str) -> None:
    assert ann.call("POST", "/projects", 201, repository_url=url, name="Shop")["repository"] == url


def test_variables_are_read_as_people_write_them() -> None:
    found, wrong = parse_variables(
        '# comment\nA=1\nexport B = two words \nC="x=\\"y\\""\nD=\'it\'\'s\'\nE="a\nb"\nF=\n\nno'
    )
    assert found["A"] == "1" and found["B"] == "two words" and found["C"] == 'x="y"' and found["E"] == "a\nb"
    assert found["F"] == "" and wrong == ["Line 10 is not KEY=VALUE."]


def test_two_projects_of_one_name_get_two_addresses(ann: Person) -> None:
    slugs = [ann.call("POST", "/projects", 201, repository_url=URL, name="Shop")["slug"] for _ in range(3)]
    assert slugs == ["shop", "shop-2", "shop-3"]
    assert ann.call("POST", "/projects", 409, repository_url=URL, slug="shop")["code"] == "CONFLICT"


@pytest.mark.parametrize("slug", ["api", "WWW", "a.b", "-a", "a-", "a b", ""])
def test_a_slug_that_is_no_host_or_not_ours_to_give_is_refused(ann: Person, slug: str) -> None:
    ann.call("POST", "/projects", 422, repository_url=URL, slug=slug)


def test_variables_merge_by_name_and_never_come_back(app: Flask, ann: Person) -> None:
    made = ann.call("POST", "/projects", 201, repository_url=URL, environment_variables={"A": "secret one", "B": "2"})
    after = ann.call("PATCH", f"/projects/{made['id']}", environment_variables={"B": None, "C": "secret three"})
    assert after["environment_variables"] == {"A": "***", "C": "***"}
    with app.app_context():
        stored = " ".join(str(row) for row in db.session.execute(text("select * from env_vars")))
        logged = " ".join(str(row) for row in db.session.execute(text("select * from audit_logs")))
    assert "secret" not in stored and "secret" not in logged and "environment.C" in logged


@pytest.mark.parametrize(
    "variables", [{"1A": "x"}, {"A B": "x"}, {"PORT": "1"}, "no equals sign", ["A"], {"A": "x\x00"}]
)
def test_bad_variables_are_named(ann: Person, variables: Any) -> None:
    error = ann.call("POST", "/projects", 422, repository_url=URL, environment_variables=variables)
    assert error["details"]["errors"][0]["message"]


def test_only_the_fields_sent_change_and_the_audit_says_which(ann: Person) -> None:
    made = ann.call("POST", "/projects", 201, repository_url=URL, port=3000, health_path="/up")
    after = ann.call("PUT", f"/projects/{made['slug']}", port=None, branch="develop")
    assert (after["port"], after["branch"], after["health_path"]) == (None, "develop", "/up")
    entry = ann.call("GET", "/audit")[0]
    assert entry["action"] == "project.updated" and entry["details"] == {
        "port": [3000, None],
        "branch": ["main", "develop"],
    }


def test_a_private_repository_needs_its_credential(app: Flask, ann: Person) -> None:
    ann.call("POST", "/projects", 422, repository_url=URL, access="token")
    made = ann.call("POST", "/projects", 201, repository_url=URL, access="token", token="gitsecret-123")
    assert "gitsecret" not in str(made)
    with app.app_context():
        assert "gitsecret" not in str(list(db.session.execute(text("select * from projects"))))


def test_a_token_can_be_replaced_and_is_never_shown(ann: Person) -> None:
    made = ann.call("POST", "/projects", 201, repository_url=URL)
    after = ann.call("PATCH", f"/projects/{made['id']}", token="newsecret-456")
    entry = ann.call("GET", "/audit")[0]
    assert entry["details"]["access"] == ["public", "token"] and entry["details"]["sealed_credential"] == "changed"
    assert "newsecret" not in str(after) + str(entry)


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://example.com/other.git", True),
        ("https://EXAMPLE.com/team/shop", True),
        ("https://evil.example/team/shop.git", False),
        ("http://example.com/team/shop.git", False),
        ("https://example.com:444/team/shop.git", False),
        ("https://example.com@evil.example/shop.git", False),
    ],
)
def test_a_token_does_not_follow_a_project_to_another_server(ann: Person, address: str, kept: bool) -> None:
    made = ann.call("POST", "/projects", 201, repository_url=URL, access="token", token="gitsecret-123")
    ann.call("PATCH", f"/projects/{made['id']}", repository_url=address)
    with_credential = ann.call("PATCH", f"/projects/{made['id']}", name="Shop")
    entry = next(
        e for e in ann.call("GET", "/audit") if e["action"] == "project.updated" and "repository" in e["details"]
    )
    assert ("sealed_credential" in entry["details"]) != kept and "gitsecret" not in str(entry)
    assert with_credential["repository_url"] == address


def test_a_project_with_work_under_way_is_not_deleted_by_accident(ann: Person, person: Callable[..., Person]) -> None:
    made = ann.call("POST", "/projects", 201, repository_url=URL)
    ann.call("POST", f"/projects/{made['id']}/deploy", 201)
    assert "queued" in ann.call("DELETE", f"/projects/{made['id']}", 409)["message"]
    ann.call("DELETE", f"/projects/{made['id']}?force=true")
    ann.call("GET", f"/projects/{made['id']}", 404)
    assert ann.call("GET", "/deployments") == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("github.com/you/app", "https://github.com/you/app"),
        ("Git.Example.co.uk/group/sub/app.git", "https://Git.Example.co.uk/group/sub/app.git"),
        ("https://github.com/you/app", "https://github.com/you/app"),
        ("git@github.com:you/app.git", "git@github.com:you/app.git"),
        ("github.com:you/app.git", "github.com:you/app.git"),
    ],
)
def test_an_address_without_a_scheme_is_understood(ann: Person, given: str, kept: str) -> None:
    assert ann.call("POST", "/projects", 201, repository_url=given, name="Shop")["repository_url"] == kept
    assert ann.call("PUT", "/projects/shop", repository_url=given)["repository_url"] == kept


@pytest.mark.parametrize("given", ["you/app", "app", "github.com", "github.com/you", "./you/../app", "a.b/c d/e"])
def test_what_only_looks_like_one_is_left_as_it_is(given: str) -> None:
    assert with_scheme(given) == given
