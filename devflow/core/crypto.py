"""Secrets at rest: encrypted with the newest key, readable with every key still listed."""

from __future__ import annotations

import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from devflow.core.errors import Unavailable


class Vault:
    """Encrypts and decrypts texts with ENCRYPTION_KEYS, newest first; `rotate` moves a text to the newest."""

    def __init__(self, keys: str) -> None:
        self._fernet = MultiFernet([Fernet(key.strip()) for key in keys.split(",") if key.strip()])

    def seal(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode("ascii")

    def open(self, sealed: str) -> str:
        try:
            return self._fernet.decrypt(sealed.encode("ascii")).decode()
        except InvalidToken as error:
            raise Unavailable(
                "A stored secret cannot be read: none of the keys in ENCRYPTION_KEYS fits. Put the earlier key back."
            ) from error

    def rotate(self, sealed: str) -> str:
        return self._fernet.rotate(sealed.encode("ascii")).decode("ascii")


_vault: Vault | None = None
_audit_keys: tuple[bytes, ...] = (b"",)
_token_key = ""


def use(keys: str, *, audit_key: str, token_key: str) -> None:
    """Set the keys of this process; called once when the app is made. `audit_key`: newest first, as ENCRYPTION_KEYS."""
    global _vault, _audit_keys, _token_key
    _vault, _token_key = Vault(keys), token_key
    _audit_keys = tuple(key.strip().encode() for key in audit_key.split(",") if key.strip()) or (b"",)


def vault() -> Vault:
    """The vault of this process."""
    if _vault is None:
        raise Unavailable("The encryption keys are not loaded.")
    return _vault


def digest(text: str, key: str | None = None) -> str:
    """A keyed SHA-256 of a high-entropy token, for looking it up without storing it."""
    return hmac.new((_token_key if key is None else key).encode(), text.encode(), hashlib.sha256).hexdigest()


def link(previous: str, text: str) -> str:
    """The next link of a chain: whoever lacks AUDIT_KEY cannot forge it, and every link vouches for all before it.

    A word in place of the link before makes it the signature of something that stands in no chain.
    """
    return hmac.digest(_audit_keys[0], f"{previous}\n{text}".encode(), "sha256").hex()


class Links:
    """Checks links in the order in which they were made: after the first of a newer key none of an older one counts."""

    def __init__(self) -> None:
        self._keys = list(reversed(_audit_keys))

    def fit(self, previous: str, text: str, value: str) -> bool:
        """Is `value` what `link(previous, text)` gave when it was made?"""
        message = f"{previous}\n{text}".encode()
        for at, key in enumerate(self._keys):
            if hmac.digest(key, message, "sha256").hex() == value:
                del self._keys[:at]
                return True
        return False
