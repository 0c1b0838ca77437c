"""The administrator's page about mail: where it goes, and what waits or is kept."""

from __future__ import annotations

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue

from devflow.core.settings import Settings
from devflow.features.mail import service
from devflow.features.mail.schemas import LetterQuery
from devflow.web.identity import actor
from devflow.web.pages import filters, redirect, render
from devflow.web.ports import port

bp = Blueprint("mail", __name__, url_prefix="/admin/mail")
TITLES = {"": "All", "kept": "Kept", "waiting": "Waiting", "failed": "Failed", "sent": "Sent", "expired": "Expired"}


@bp.get("")
def index() -> ResponseReturnValue:
    asked = filters(LetterQuery)
    return render(
        "admin/mail.html", "letters", page=service.search(actor(), asked), counts=service.counts(actor()),
        state=asked.state or "", titles=TITLES, smtp=port(Settings),
    )  # fmt: skip


@bp.post("/test")
def send_test() -> ResponseReturnValue:
    letter = service.send_test(actor())
    return redirect(url_for("mail.index"), f"A test mail to {letter.to} is on its way")


@bp.post("/<letter_id>/send")
def send_again(letter_id: str) -> ResponseReturnValue:
    letter = service.send_again(actor(), letter_id)
    return redirect(url_for("mail.index"), f"The mail to {letter.to} is on its way")


@bp.post("/<letter_id>/link")
def open_link(letter_id: str) -> ResponseReturnValue:
    link = service.open_link(actor(), letter_id, port(Settings).page_url)
    return render("admin/link.html", "link", link=link, letter=service.find(actor(), letter_id))
