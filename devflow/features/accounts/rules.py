"""Pure decisions about accounts: passwords, tokens, codes, names."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import bcrypt
import pyotp
import segno
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

    def sign(self, user_id: str, session_id: str, token_id: str, seconds: int | None = None, **more: Any) -> str:
        """A token. `more` are claims for the client to show; nothing here relies on them."""
        issued = int(time.time())
        claims: dict[str, Any] = {
            **more, "sub": user_id, "userId": user_id, "sid": session_id, "jti": token_id, "type": self._purpose,
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
        good = claims.get("type", claims.get("typ")) == self._purpose and found.expires_at > time.time()
        return found if good else None


STEP = 30
"""Seconds for which an authenticator shows a code."""


def totp_secret() -> str:
    """A secret for an authenticator app, 160 bits in base32."""
    return pyotp.random_base32()


def totp_uri(secret: str, email: str, issuer: str) -> str:
    """What the app reads from the QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=issuer)


def qr_code(text: str) -> str:
    """A QR code as an SVG in a data: address. It brings its own white ground: cameras need the contrast."""
    return str(segno.make(text, error="m").svg_data_uri(scale=4, border=3, light="#fff", dark="#000"))


def totp_now() -> int:
    """The number of the time step now."""
    return int(time.time()) // STEP


def totp_step(secret: str, code: str) -> int | None:
    """The time step whose code this is: now, the one before or the one after (clocks drift); None if it is none."""
    digits, here, totp = bare_code(code), totp_now(), pyotp.TOTP(secret)
    if len(digits) != 6 or not digits.isascii():
        return None
    fitting = [step for step in (here, here - 1, here + 1) if hmac.compare_digest(totp.at(step * STEP), digits)]
    return fitting[0] if fitting else None


def recovery_code(random: bytes) -> str:
    """A code to write down, from at least 7 random bytes: `abcde-fgh23`, without letters that look like digits."""
    letters = base64.b32encode(random).decode("ascii").lower()[:10]
    return f"{letters[:5]}-{letters[5:]}"


def bare_code(code: str) -> str:
    """A code without what people type around it."""
    return re.sub(r"[\s-]", "", code).lower()
