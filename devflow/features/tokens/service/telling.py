"""Who hears of what happens to a token by itself."""

from __future__ import annotations

from typing import Any

from devflow.features.accounts.service import people
from devflow.features.mail import service as mail
from devflow.features.teams.service import serving
from devflow.features.tokens.models import ApiToken


def tell(token: ApiToken, template: str, subject: str, **words: Any) -> int:
    """Write to the owner of a token, or to those who look after the service account; returns how many letters.

    `subject` is a sentence about the token, to follow its name.
    """
    owner = people.by_id(token.user_id)
    if owner is None:
        return 0
    account = owner.name if owner.is_service else ""
    whose = f"The API token {token.name} of {account}" if account else f"Your API token {token.name}"
    readers = serving.keepers(owner.id) if account else [owner]
    for reader in readers:
        mail.send(
            reader.email, template, f"{whose} {subject}", path=f"/settings/tokens/{token.id}", name=reader.name,
            token=token.name, shown=token.shown, account=account, **words,
        )  # fmt: skip
    return len(readers)
