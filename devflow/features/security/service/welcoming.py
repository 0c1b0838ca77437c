"""The letter to a guest of a project, and the account it may be used to make."""

from __future__ import annotations

import hmac
from datetime import timedelta
from urllib.parse import urlencode

from devflow.core.access import Actor
from devflow.core.clock import now
from devflow.core.crypto import digest
from devflow.features.mail import service as mail
from devflow.features.roles.service import giving
from devflow.features.security.service.places import Place

LIFETIME = timedelta(days=7)
"""How long an account can be made by the letter; the role itself stays until it is taken back."""


def write(actor: Actor, guest_id: str, email: str, role: str, place: Place) -> None:
    """Tell an address what was given to it. The letter is the same whether or not there is such an account."""
    query = urlencode({"next": f"/projects/{place.slug}", "invite_token": _token(guest_id, email), "email": email})
    mail.send(
        email, "guest", f"{actor.name} gives you access to {place.name}", until=now() + LIFETIME, asked=True,
        path=f"/login?{query}", inviter=actor.name, role=role, project=place.name,
    )  # fmt: skip


def invited(email: str, token: str) -> bool:
    """May this address have an account because of that letter, even where nobody else may sign up?"""
    guest = giving.guest(token.partition(".")[0])
    if guest is None or guest.email != email.strip().lower() or now() - guest.created_at > LIFETIME:
        return False
    return hmac.compare_digest(_token(guest.id, guest.email).encode(), token.encode())


def _token(guest_id: str, email: str) -> str:
    return f"{guest_id}.{digest(f'guest {guest_id} {email}')}"
