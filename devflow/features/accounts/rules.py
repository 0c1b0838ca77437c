"""Pure decisions about accounts: passwords, tokens, names."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import bcrypt
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

COST = 12
"""bcrypt work factor (DESIGN section 7)."""


def _prehash(password: str) -> bytes:
    # bcrypt reads 72 bytes at most; the digest makes every character of a long password count.
    return base64.b64encode(hashlib.sha256(password.encode()).digest())


def hash_password(password: str, cost: int = COST) -> str:
    return bcrypt.hashpw(_prehash(password), bcrypt.gensalt(cost)).decode("ascii")


def password_fits(password: str, hashed: str | None) -> bool:
    """Compare in the same time whether or not the account exists (`hashed` is None: it never fits)."""
    fits = bcrypt.checkpw(_prehash(password), (hashed or _nobody()).encode("ascii"))
    return fits and hashed is not None


@cache
def _nobody() -> str:
    return hash_password("nobody has this password")


def username_from(email: str) -> str:
    """A first guess at a user name."""
    name = re.sub(r"[^a-z0-9._-]+", "-", email.partition("@")[0].lower()).strip("-._")
    return (name or "user")[:48]


@dataclass(frozen=True)
class Claims:
    """What a good token says."""

    user_id: str
    session_id: str
    token_id: str
    expires_at: int


class Signer:
    """Signs and reads the tokens of one purpose (`access` or `refresh`)."""

    def __init__(self, secret: str, purpose: str, seconds: int) -> None:
        self._key = OctKey.import_key(secret)
        self._purpose = purpose
        self.seconds = seconds

    def sign(self, user_id: str, session_id: str, token_id: str, seconds: int | None = None) -> str:
        issued = int(time.time())
        claims: dict[str, Any] = {
            "sub": user_id, "userId": user_id, "sid": session_id, "jti": token_id, "typ": self._purpose,
            "iat": issued, "exp": issued + (self.seconds if seconds is None else seconds),
        }  # fmt: skip
        return jwt.encode({"alg": "HS256"}, claims, self._key)

    def read(self, token: str) -> Claims | None:
        """The claims of a token that is signed, of this purpose and not expired; None otherwise."""
        try:
            claims = jwt.decode(token, self._key, algorithms=["HS256"]).claims
            found = Claims(str(claims["sub"]), str(claims["sid"]), str(claims["jti"]), int(claims["exp"]))
        except (JoseError, KeyError, ValueError, TypeError):
            return None
        good = claims.get("typ") == self._purpose and found.expires_at > time.time()
        return found if good else None
