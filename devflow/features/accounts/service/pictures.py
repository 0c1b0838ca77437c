"""Pictures of people: decoded, made small and written anew, so that nothing foreign is kept or served."""

from __future__ import annotations

import re
import threading
import zipfile
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError
from sqlalchemy import select

from devflow.core.access import Actor, Permission
from devflow.core.db import db
from devflow.core.errors import Invalid
from devflow.core.ids import new_id
from devflow.core.use_case import query, use_case
from devflow.features.accounts.models import User
from devflow.features.accounts.service.people import find
from devflow.features.audit import service as audit

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
MOST_BYTES = 2_000_000
MOST_PIXELS = 40_000_000
"""What a decoder may unfold: a picture of a good camera, but no bomb."""
SIDE = 256
_DRAWING = threading.Lock()
"""One at a time: a picture of one colour is tiny as a file and 200 MB in memory."""
PREFIX = "/avatars/"
"""Where our own pictures answer; another address in a profile is text for programs, never shown."""
_FOREIGN = re.compile(rb"<(?:script|html|\?php|!doctype)|%PDF-", re.IGNORECASE)
_NAME = re.compile(r"[0-9a-f-]{36}\.webp")


def drawn(data: bytes) -> bytes:
    """The picture as a square WebP without metadata. Raises Invalid, with a sentence, for anything else."""
    if len(data) > MOST_BYTES:
        raise _unfit("This picture is larger than 2 MB.")
    if _FOREIGN.search(data) or zipfile.is_zipfile(BytesIO(data)):
        raise _unfit("This file is something else besides a picture. Save the picture anew, then try again.")
    try:
        with _DRAWING, Image.open(BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise _unfit("This picture has too many pixels: 40 million at most.")
            image.draft("RGB", (SIDE * 2, SIDE * 2))
            upright = ImageOps.exif_transpose(_smaller(image)).convert("RGBA")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError, EOFError) as error:
        raise _unfit("This is not a picture that can be read. Choose a PNG, JPEG, WebP or GIF.") from error
    square = ImageOps.fit(upright, (SIDE, SIDE), Image.Resampling.LANCZOS)
    clean = Image.new("RGBA", square.size)
    clean.paste(square)
    out = BytesIO()
    clean.save(out, "WEBP", quality=85, method=4)
    return out.getvalue()


def _smaller(image: Image.Image) -> Image.Image:
    """Near to the size that is needed, before anything else makes copies of it."""
    times = min(image.size) // (SIDE * 2)
    if times < 2 or image.mode not in ("L", "RGB", "RGBA"):
        return image
    small = image.reduce(times)
    small.info["exif"] = image.getexif().tobytes()  # says which way is up
    return small


def _unfit(text: str) -> Invalid:
    return Invalid(text, {"picture": [text]})


@query(Permission.ACCOUNT_MANAGE)
def choose(actor: Actor, data: bytes, folder: Path) -> str:
    """Make this the actor's picture; returns its address."""
    small = drawn(data)
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{new_id()}.webp"
    draft = folder / f"{name}.part"
    draft.write_bytes(small)
    draft.rename(folder / name)
    before = _set(actor, f"{PREFIX}{name}")
    _forget(before, folder)
    return f"{PREFIX}{name}"


@query(Permission.ACCOUNT_MANAGE)
def remove(actor: Actor, folder: Path) -> None:
    """Stand for the actor by their initials again."""
    _forget(_set(actor, None), folder)


@use_case(Permission.ACCOUNT_MANAGE)
def _set(actor: Actor, address: str | None) -> str | None:
    user = find(actor.id)
    before, user.avatar_url = user.avatar_url, address
    if before != address:
        audit.record(actor, "account.updated", user, {"avatar_url": [before, address]})
    return before


def _forget(address: str | None, folder: Path) -> None:
    if address and (path := file_of(address.removeprefix(PREFIX), folder)):
        path.unlink(missing_ok=True)


def file_of(name: str, folder: Path) -> Path | None:
    """The file behind the last part of an address, if it is the name of one of our pictures."""
    return folder / name if _NAME.fullmatch(name) else None


def forget_strays(folder: Path, older_than: float) -> int:
    """Delete pictures no account shows, written before this moment (seconds of the epoch); returns how many."""
    if not folder.is_dir():
        return 0
    shown = set(db.session.scalars(select(User.avatar_url).where(User.avatar_url.startswith(PREFIX))))
    db.session.rollback()
    strays = [
        path for path in folder.iterdir() if f"{PREFIX}{path.name}" not in shown and path.stat().st_mtime < older_than
    ]
    for path in strays:
        path.unlink(missing_ok=True)
    return len(strays)
