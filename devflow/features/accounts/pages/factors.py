"""Two-factor sign-in on the security page."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from devflow.core.errors import Invalid, TooMany
from devflow.core.settings import Settings
from devflow.features.accounts.schemas.factors import CodeIn
from devflow.features.accounts.service import factors
from devflow.features.accounts.service.guarding import Guard
from devflow.ports.tries import Tries
from devflow.web.entrance import device
from devflow.web.identity import actor
from devflow.web.limits import credentials
from devflow.web.pages import checked, redirect, render, submits
from devflow.web.ports import port

bp = Blueprint("factors", __name__)
SECURITY = "/settings/security"


def panel() -> dict[str, Any]:
    """What templates/settings/_factors.html shows."""
    return {"factor": factors.state(actor())}


@bp.post("/settings/two-factor")
def begin() -> ResponseReturnValue:
    """Make a secret, then show it."""
    factors.begin(actor(), _issuer())
    return redirect(url_for("factors.setup"))


@bp.route("/settings/two-factor/setup", methods=["GET", "POST"])
@credentials
@submits("settings/two_factor.html", CodeIn, calls=factors.confirm)
def setup(data: CodeIn | None) -> Any:
    """The secret and its QR code, until a first code shows that the app has it."""
    if data is not None:
        try:
            codes = factors.confirm(actor(), data.code, _guard())
        except TooMany as error:
            raise Invalid(error.message, {"code": [error.message]}) from error
        return render("settings/recovery_codes.html", codes=codes, fresh_start=True)
    waiting = factors.pending(actor(), _issuer())
    return {"setup": waiting} if waiting else redirect(SECURITY)


@bp.post("/settings/two-factor/codes")
def renew_codes() -> ResponseReturnValue:
    """New recovery codes, shown once."""
    return render("settings/recovery_codes.html", codes=factors.renew_codes(actor()), fresh_start=False)


@bp.post("/settings/two-factor/off")
@credentials
def switch_off() -> ResponseReturnValue:
    """Switch it off, with a code."""
    factors.switch_off(actor(), checked(CodeIn, request.form.to_dict()).code, _guard())
    return redirect(SECURITY, "Two-factor sign-in is off")


def _issuer() -> str:
    return factors.issuer(port(Settings).public_url)


def _guard() -> Guard:
    return Guard(port(Tries), device())
