"""`Idempotency-Key`: a creation sent twice creates once and answers alike."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, request

from devflow.core import replay
from devflow.core.crypto import digest
from devflow.core.errors import Invalid
from devflow.web.identity import anybody

HEADER = "Idempotency-Key"
LONGEST = 255


def once(create: Callable[[], Response]) -> Response:
    """Run `create`, or give the answer it gave to the same key before (`Idempotency-Replayed: true`).

    A key belongs to one caller and one address. Only what was created is remembered: after a refusal the same key
    may be tried again.
    """
    given = request.headers.get(HEADER, "").strip()
    if not given:
        return create()
    if len(given) > LONGEST or not given.isprintable():
        raise Invalid(f"An {HEADER} has at most {LONGEST} printable characters.", {HEADER: ["Use a UUID, say."]})
    who = anybody()
    key = _digest(who.id or who.ip, who.token_id or "", request.method, request.path, given)
    asked = (request.query_string.decode("latin-1"), request.headers.get("X-Team-Id", ""))
    known = replay.begin(key, _digest(*asked, request.get_data(cache=True).hex()))
    if known is not None:
        answer = Response(known[1], status=known[0], mimetype="application/json")
        answer.headers["Idempotency-Replayed"] = "true"
        return answer
    done = False
    try:
        answer = create()
        if answer.status_code < 300:
            replay.finish(key, answer.status_code, answer.get_data(as_text=True))
            done = True
        return answer
    finally:
        if not done:
            replay.give_up(key)


def _digest(*parts: str) -> str:
    return digest("\0".join(parts))  # keyed: a body may hold a password, which a plain hash would let anybody guess
