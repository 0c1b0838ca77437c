"""Pictures of people: what is taken, what is made of it, and who gets to see it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image, PngImagePlugin

from devflow.core.clock import now
from devflow.core.errors import Invalid
from devflow.features.accounts.service import pictures
from tests.conftest import Person, csrf


def picture(form: str = "PNG", size: tuple[int, int] = (300, 200), **options: Any) -> bytes:
    out = BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(out, form, **options)
    return out.getvalue()


def send(client: FlaskClient, data: bytes, name: str = "me.png") -> Any:
    form = {"picture": (BytesIO(data), name), "csrf_token": csrf(client)}
    return client.post("/settings/picture", data=form, headers={"HX-Request": "true"})


def folder(app: Flask) -> Path:
    return Path(app.config["SQLALCHEMY_DATABASE_URI"].removeprefix("sqlite:///")).parent / "avatars"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_picture_becomes_a_small_square_webp(form: str) -> None:
    with Image.open(BytesIO(pictures.drawn(picture(form)))) as made:
        assert (made.format, made.size) == ("WEBP", (256, 256))
        red, green, _ = made.convert("RGB").getpixel((128, 128))  # type: ignore[misc]
        assert red > 150 and green < 90


def test_where_it_was_taken_is_dropped_and_up_stays_up() -> None:
    out, exif = BytesIO(), Image.Exif()
    exif[0x0112] = 6  # lies on its side
    exif.get_ifd(0x8825)[1] = "N"
    sideways = Image.new("RGB", (400, 200), (0, 0, 255))
    sideways.paste((255, 0, 0), (0, 0, 200, 200))
    sideways.save(out, "JPEG", exif=exif, quality=95)
    with Image.open(BytesIO(pictures.drawn(out.getvalue()))) as made:
        assert not made.getexif() and "exif" not in made.info and "xmp" not in made.info
        red, _, blue = made.convert("RGB").getpixel((128, 30))  # type: ignore[misc]
        assert red > 200 and blue < 60


def _bomb() -> bytes:
    """A file of some kB that would unfold to 10 000 million pixels."""
    head = b"\x89PNG\r\n\x1a\n"
    body = b"".join((100_000).to_bytes(4, "big") for _ in range(2)) + b"\x08\x02\x00\x00\x00"
    out = BytesIO(head)
    out.seek(0, 2)
    PngImagePlugin.putchunk(out, b"IHDR", body)
    PngImagePlugin.putchunk(out, b"IDAT", b"x\x9c" + b"\x00" * 2000)
    PngImagePlugin.putchunk(out, b"IEND", b"")
    return out.getvalue()


def _with_zip() -> bytes:
    out = BytesIO(picture("GIF"))
    out.seek(0, 2)
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("evil.class", "x")
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"rubbish", b"<svg xmlns='http://www.w3.org/2000/svg'/>", picture("BMP"), picture("TIFF"),
        picture("PNG")[:60], picture("GIF") + b"<script>alert(1)</script>", picture("JPEG") + b"%PDF-1.7", _with_zip(),
        _bomb(), picture("PNG", (7000, 7000)), b"\x00" * (pictures.MOST_BYTES + 1),
    ],
    ids=["nothing", "rubbish", "svg", "bmp", "tiff", "cut", "script", "pdf", "zip", "bomb", "pixels", "large"],
)  # fmt: skip
def test_anything_else_is_refused_with_a_sentence(data: bytes) -> None:
    with pytest.raises(Invalid) as raised:
        pictures.drawn(data)
    assert raised.value.fields["picture"] == [raised.value.message]


def test_many_large_pictures_at_once_take_no_more_memory_than_one() -> None:
    """A picture of one colour is tiny as a file and large in memory; several at once could end the web process."""
    program = """
import resource, threading
from io import BytesIO
from PIL import Image
from devflow.features.accounts.service import pictures
file = BytesIO()
Image.new("RGB", (6300, 6300), "red").save(file, "PNG")
def most(count):
    threads = [threading.Thread(target=pictures.drawn, args=(file.getvalue(),)) for _ in range(count)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(most(1), most(4))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    one, four = map(int, done.stdout.split())
    assert four < one * 1.5


def test_a_picture_is_shown_replaced_and_removed(
    app: Flask, ann: Person, browser: Callable[[Person], FlaskClient]
) -> None:
    client = browser(ann)
    assert send(client, picture()).status_code == 204
    first = ann.call("GET", "/user/profile")["avatar_url"]
    answer = client.get(first)
    assert answer.status_code == 200 and answer.mimetype == "image/webp"
    assert "private" in answer.headers["Cache-Control"] and answer.headers["X-Content-Type-Options"] == "nosniff"
    assert client.get(first, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    for page in ("/dashboard", "/settings", "/team", "/admin/users"):
        assert client.get(page).text.count(f'src="{first}"') == (1 if page == "/dashboard" else 2), page
    send(client, picture("GIF"))
    second = ann.call("GET", "/user/profile")["avatar_url"]
    assert second != first and [path.name for path in folder(app).iterdir()] == [second.rpartition("/")[2]]
    assert client.get(first).status_code == 404
    client.post("/settings/picture/delete", data={"csrf_token": csrf(client)})
    assert ann.call("GET", "/user/profile")["avatar_url"] is None and list(folder(app).iterdir()) == []


def test_a_refused_picture_leaves_the_old_one(
    app: Flask, ann: Person, browser: Callable[[Person], FlaskClient]
) -> None:
    client = browser(ann)
    send(client, picture())
    kept = ann.call("GET", "/user/profile")["avatar_url"]
    refused = send(client, b"rubbish")
    assert refused.status_code == 422 and "PNG, JPEG, WebP or GIF" in refused.headers["HX-Trigger"]
    assert send(client, b"\x00" * 3_000_000).status_code == 413
    assert ann.call("GET", "/user/profile")["avatar_url"] == kept


@pytest.mark.parametrize("name", ["../devflow.db", "..%2fdevflow.db", "x.webp", "secrets", "%00"])
def test_nothing_but_pictures_is_served(
    app: Flask, ann: Person, browser: Callable[[Person], FlaskClient], name: str
) -> None:
    client = browser(ann)
    send(client, picture())
    assert client.get(f"/avatars/{name}").status_code == 404


def test_strangers_see_no_pictures(app: Flask, ann: Person, browser: Callable[[Person], FlaskClient]) -> None:
    send(browser(ann), picture())
    address = ann.call("GET", "/user/profile")["avatar_url"]
    assert app.test_client().get(address).location.startswith("/login")


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("https://example.com/me.png", 200), (None, 200), ("http://example.com/me.png", 422),
        ("javascript:alert(1)", 422), ("/avatars/0192.webp", 422), ("https://", 422),
        ("data:image/png;base64,AAAA", 422),
    ],
)  # fmt: skip
def test_the_api_takes_an_address_as_text_which_no_page_shows(
    app: Flask, ann: Person, browser: Callable[[Person], FlaskClient], address: str | None, status: int
) -> None:
    headers = {"Authorization": f"Bearer {ann.token}"}
    answer = ann.client.put("/api/v1/user/profile", json={"avatar_url": address}, headers=headers)
    assert answer.status_code == status, answer.text
    if status == 200:
        assert answer.get_json()["data"]["avatar_url"] == address
    assert "example.com/me.png" not in browser(ann).get("/settings").text


def test_pictures_nobody_shows_are_swept(app: Flask, ann: Person, browser: Callable[[Person], FlaskClient]) -> None:
    send(browser(ann), picture())
    (kept,) = folder(app).iterdir()
    (folder(app) / "0192.webp.part").write_bytes(b"half")
    with app.app_context():
        assert pictures.forget_strays(folder(app), now().timestamp() - 3600) == 0  # it may be on its way
        assert pictures.forget_strays(folder(app), now().timestamp() + 5) == 1
    assert list(folder(app).iterdir()) == [kept]
