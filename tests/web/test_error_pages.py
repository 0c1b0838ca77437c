"""Pages about errors: in the shell for whoever is signed in, plain and free of queries for anybody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from devflow.core.db import db
from devflow.core.errors import TooMany
from tests.conftest import Person

SHELL = 'id="side"'
Browser = Callable[[Person], FlaskClient]


@contextmanager
def queries(app: Flask) -> Iterator[list[str]]:
    """The statements that reach the database meanwhile."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def _broken() -> str:
    raise RuntimeError("a mistake of ours")


def _crowded() -> str:
    raise TooMany("Too many requests. Try again in 7 s.", 7)


@pytest.fixture(autouse=True)
def bad_addresses(app: Flask) -> None:
    app.add_url_rule("/broken", "broken", _broken, methods=["GET", "POST"])
    app.add_url_rule("/crowded", "crowded", _crowded)


def test_somebody_signed_in_keeps_the_navigation(ann: Person, browser: Browser) -> None:
    client = browser(ann)
    for path, status, title in [("/nothing-here", 404, "Nothing here"), ("/broken", 500, "DevFlow made a mistake")]:
        answer = client.get(path)
        assert answer.status_code == status and SHELL in answer.text and f">{title}</h1>" in answer.text
        assert f"<title>{title} · DevFlow</title>" in answer.text
        assert answer.headers["X-Request-ID"] in answer.text and answer.headers["Cache-Control"] == "no-store"


def test_an_error_that_may_pass_offers_the_same_address_again(ann: Person, browser: Browser) -> None:
    client = browser(ann)
    crowded = client.get("/crowded?page=2")
    assert crowded.status_code == 429 and crowded.headers["Retry-After"] == "7" and SHELL in crowded.text
    assert 'href="/crowded?page=2"' in crowded.text and "Try again in 7 s." in crowded.text
    sent = client.post("/broken", data={"csrf_token": csrf_in(client)})
    assert sent.status_code == 500 and "Try again" not in sent.text, "what was sent is not sent twice by a link"


def csrf_in(client: FlaskClient) -> str:
    return client.get("/settings").text.partition('name="csrf_token" value="')[2].partition('"')[0]


def test_a_refusal_leads_to_what_explains_it(person: Callable[..., Person], browser: Browser) -> None:
    person("Ann")
    client = browser(person("Bob"))
    refused = client.get("/admin/users")
    assert refused.status_code == 403 and SHELL in refused.text
    assert "You need the permission users:read for this." in refused.text
    why = refused.text.partition('href="/security/why?')[2].partition('"')[0]
    explained = client.get(f"/security/why?{why}".replace("&amp;", "&"))
    assert explained.status_code == 200 and "Not allowed" in explained.text


def test_strangers_get_a_plain_page_that_asks_the_database_nothing(app: Flask, ann: Person) -> None:
    client = app.test_client()
    client.get("/nothing-here")  # whatever is looked up once a process
    for path, status in [("/nothing-here", 404), ("/broken", 500), ("/crowded", 429)]:
        with queries(app) as seen:
            answer = client.get(path)
        assert answer.status_code == status and seen == [] and SHELL not in answer.text, path


def test_pictures_that_are_missing_draw_no_shell(app: Flask, ann: Person, browser: Browser) -> None:
    client = browser(ann)
    with queries(app) as seen:
        assert SHELL not in client.get("/static/none.png").text
        assert SHELL not in client.get("/none.png", headers={"Sec-Fetch-Dest": "image"}).text
    assert seen == []


def test_without_a_database_the_page_still_comes(app: Flask, ann: Person, browser: Browser, tmp_path: Path) -> None:
    client = browser(ann)
    with app.app_context():
        path = Path(str(db.engine.url.database))
        db.engine.dispose()
    for one in path.parent.glob(f"{path.name}*"):
        one.rename(tmp_path / one.name)
    for address, status in [("/dashboard", 503), ("/nothing-here", 404), ("/broken", 500)]:
        answer = client.get(address)
        assert answer.status_code == status and SHELL not in answer.text and "<h1" in answer.text, address
        assert answer.headers["X-Request-ID"] in answer.text
    assert "The database does not answer." in client.get("/dashboard").text
