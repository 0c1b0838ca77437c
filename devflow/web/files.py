"""Answers that a browser saves as a file."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from flask import Response


def download(pieces: Iterable[str], name: str) -> Response:
    """A text, streamed, under this file name (RFC 6266)."""
    plain = name.encode("ascii", "ignore").decode().replace('"', "").replace("\\", "")
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"
    return Response(pieces, mimetype="text/plain", headers={"Content-Disposition": disposition})
