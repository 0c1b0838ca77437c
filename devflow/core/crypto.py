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


def use(keys: str) -> None:
    """Set the keys of this process; called once when the app is made."""
    global _vault
    _vault = Vault(keys)


def vault() -> Vault:
    """The vault of this process."""
    if _vault is None:
        raise Unavailable("The encryption keys are not loaded.")
    return _vault


def digest(text: str, key: str = "") -> str:
    """A keyed SHA-256 of a high-entropy token, for looking it up without storing it."""
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()
