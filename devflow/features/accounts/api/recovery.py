"""Addresses and passwords as JSON: confirm, forget, reset, change."""

from __future__ import annotations

from devflow.core.errors import Conflict, Invalid, TooMany, Unauthenticated
from devflow.core.settings import Settings
from devflow.features.accounts.schemas.recovery import (
    ConfirmationOut,
    ForgotIn,
    LinkSentOut,
    PasswordIn,
    ResetIn,
    VerifiedOut,
    VerifyIn,
)
from devflow.features.accounts.service import entering, passwords, verifying
from devflow.features.accounts.service.guarding import Guard
from devflow.ports.tries import Tries
from devflow.web.api import ApiBlueprint, Said
from devflow.web.entrance import device
from devflow.web.identity import actor, anybody
from devflow.web.limits import credentials
from devflow.web.ports import port

bp = ApiBlueprint("recovery", __name__)
ON_ITS_WAY = "If an account has this address, a mail with a link is on its way"
KEPT = "No mail server is set here. If an account has this address, an administrator can pass its link on"
KEPT_HERE = "No mail server is set here, so an administrator has to pass the link on"


def _mail_works() -> bool:
    return bool(port(Settings).smtp_host)


@bp.post("/auth/verify-email", calls=verifying.verify, raises=(Invalid,))
@credentials
def verify_email(body: VerifyIn) -> VerifiedOut:
    """Confirm an address by the token of the mailed link, which works once."""
    return Said(verifying.verify(anybody(), body.token), "Email confirmed successfully")


bp.alias("/auth/confirm-email", "verify_email")


@bp.post("/auth/resend-verification", calls=verifying.resend, raises=(Conflict,))
@credentials
def resend_verification() -> ConfirmationOut:
    """Mail the link that confirms your address once more; the earlier one dies."""
    verifying.resend(actor())
    sent = _mail_works()
    return Said({"confirmation_sent": sent}, "Verification email sent" if sent else KEPT_HERE)


@bp.post("/auth/forgot-password", calls=passwords.forgot, raises=(Invalid,))
@credentials
def forgot_password(body: ForgotIn) -> LinkSentOut:
    """Ask for a link to a new password; the answer is the same whether or not the address is known."""
    passwords.forgot(anybody(), body.email)
    sent = _mail_works()
    return Said({"email_sent": sent}, ON_ITS_WAY if sent else KEPT)


@bp.post("/auth/reset-password", calls=passwords.reset, raises=(Invalid,))
@credentials
def reset_password(body: ResetIn) -> LinkSentOut | None:
    """Set a new password by the token of the mailed link and end every session; an address alone asks for the link."""
    if body.email is not None and body.token is None:
        passwords.forgot(anybody(), body.email)
        sent = _mail_works()
        return Said({"email_sent": sent}, "Password reset email sent" if sent else KEPT)
    passwords.reset(anybody(), body.token or "", body.password or "", port(entering.Keys).cost)
    return Said(None, "Password changed. Sign in with the new one")


@bp.post("/auth/change-password", calls=passwords.change, raises=(Unauthenticated, Conflict, TooMany))
@credentials
def change_password(body: PasswordIn) -> Said:
    """Change your password; every other session ends."""
    guard = Guard(port(Tries), device())
    passwords.change(actor(), body.current_password, body.new_password, port(entering.Keys).cost, guard)
    return Said(None, "Password changed")
