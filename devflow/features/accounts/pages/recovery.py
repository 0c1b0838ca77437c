"""Where mailed links lead: confirm an address, choose a new password; and where one asks for them."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request, url_for
from flask.typing import ResponseReturnValue

from devflow.core.settings import Settings
from devflow.features.accounts.schemas.recovery import ForgotIn, ResetForm, VerifyIn
from devflow.features.accounts.service import entering, mailed, passwords, verifying
from devflow.web.identity import actor, anybody, sign_out, visitor
from devflow.web.limits import credentials
from devflow.web.pages import redirect, render, submits
from devflow.web.ports import port

bp = Blueprint("recovery", __name__)


@bp.after_request
def keep_addresses_here(response: Response) -> Response:
    """An address with a token in it is told to no other site; forms behind TLS need it at ours."""
    response.headers["Referrer-Policy"] = "same-origin"
    return response


@bp.route("/forgot-password", methods=["GET", "POST"])
@credentials
@submits("accounts/forgot.html", ForgotIn)
def forgot(data: ForgotIn | None) -> Any:
    if data is not None:
        passwords.forgot(anybody(), data.email)
        return render("accounts/forgot.html", "form", sent_to=data.email, values={}, errors={})
    found = visitor()
    return {"values": {"email": found.email if found else ""}, "mail_works": bool(port(Settings).smtp_host)}


@bp.route("/reset-password", methods=["GET", "POST"])
@credentials
@submits("accounts/reset.html", ResetForm)
def reset(data: ResetForm | None) -> Any:
    if data is not None:
        passwords.reset(anybody(), data.token, data.password, port(entering.Keys).cost)
        sign_out()
        return redirect(url_for("accounts.login"), "Password changed. Sign in with it")
    token = request.values.get("token", "")
    return {"values": {"token": token}, "alive": mailed.live(token, mailed.RESET)}


@bp.route("/verify-email", methods=["GET", "POST"])
@credentials
@submits("accounts/verify.html", VerifyIn)
def verify(data: VerifyIn | None) -> Any:
    if data is not None:
        user = verifying.verify(anybody(), data.token)
        return render("accounts/verify.html", "form", confirmed=user.email, values={}, errors={})
    token = request.values.get("token", "")
    return {"values": {"token": token}, "alive": mailed.live(token, mailed.VERIFY)}


@bp.post("/verify-email/resend")
@credentials
def resend() -> ResponseReturnValue:
    user = verifying.resend(actor())
    where = "/settings" if request.form.get("from") == "settings" else url_for("dashboard.index")
    return redirect(where, f"A new link is on its way to {user.email}")
