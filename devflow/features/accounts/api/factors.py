"""Two-factor sign-in and re-authentication as JSON."""

from __future__ import annotations

from typing import Any

from devflow.core.errors import Conflict, Forbidden, Invalid, Stale, TooMany, Unauthenticated
from devflow.core.settings import Settings
from devflow.features.accounts.schemas.factors import (
    CodeIn,
    ConfirmedOut,
    ConfirmIn,
    FactorSetupOut,
    FactorStateOut,
    RecoveryCodesOut,
)
from devflow.features.accounts.service import confirming, factors
from devflow.features.accounts.service.guarding import Guard
from devflow.ports.tries import Tries
from devflow.web.api import ApiBlueprint, Said
from devflow.web.entrance import device
from devflow.web.identity import actor
from devflow.web.limits import credentials
from devflow.web.ports import port

bp = ApiBlueprint("two-factor", __name__)


@bp.get("/auth/two-factor", calls=factors.state)
def state() -> FactorStateOut:
    """Is two-factor sign-in on, and how many recovery codes are left?"""
    return factors.state(actor())


@bp.post("/auth/two-factor", calls=factors.begin, raises=(Conflict, Stale))
def begin() -> FactorSetupOut:
    """A secret for an authenticator app, with its QR code. It counts once a code of it was confirmed."""
    return factors.begin(actor(), factors.issuer(port(Settings).public_url))


@bp.post("/auth/two-factor/confirm", calls=factors.confirm, raises=(Conflict, Invalid, Stale, TooMany))
@credentials
def confirm_factor(body: CodeIn) -> RecoveryCodesOut:
    """Switch it on with a first code. The answer holds the recovery codes, which are never shown again."""
    return _codes(factors.confirm(actor(), body.code, _guard()))


@bp.delete("/auth/two-factor", calls=factors.switch_off, raises=(Conflict, Invalid, Stale, TooMany))
def switch_off(body: CodeIn) -> Said:
    """Switch it off, with a code of the app or a recovery code."""
    factors.switch_off(actor(), body.code, _guard())
    return Said(None, "Two-factor sign-in is off")


@bp.post("/auth/two-factor/recovery-codes", calls=factors.renew_codes, raises=(Conflict, Stale))
def renew_codes() -> RecoveryCodesOut:
    """New recovery codes; the earlier ones are worth nothing any more."""
    return _codes(factors.renew_codes(actor()))


@bp.post("/auth/confirm", calls=confirming.confirm, raises=(Forbidden, TooMany, Unauthenticated))
@credentials
def confirm(body: ConfirmIn) -> ConfirmedOut:
    """Prove once more who you are, by password or code: dangerous calls answer 403 REAUTHENTICATION_REQUIRED else."""
    return {"proved_at": confirming.confirm(actor(), body, _guard())}


def _guard() -> Guard:
    return Guard(port(Tries), device())


def _codes(codes: list[str]) -> dict[str, Any]:
    return {"recovery_codes": codes}
