"""Letters as JSON, for administrators."""

from __future__ import annotations

from devflow.core.errors import Conflict, NotFound
from devflow.core.paging import Page
from devflow.core.settings import Settings
from devflow.features.mail import service
from devflow.features.mail.schemas import LetterOut, LetterQuery, LinkOut
from devflow.web.api import ApiBlueprint
from devflow.web.identity import actor
from devflow.web.ports import port

bp = ApiBlueprint("mail", __name__)


@bp.get("/mail/letters", calls=service.search)
def letters(query: LetterQuery) -> Page[LetterOut]:
    """Letters that were sent, wait, failed, or are kept because no mail server is set."""
    return service.search(actor(), query)


@bp.post("/mail/letters/<letter_id>/send", calls=service.send_again, raises=(NotFound, Conflict))
def send_again(letter_id: str) -> LetterOut:
    """Send a letter that was kept or has failed."""
    return service.send_again(actor(), letter_id)


@bp.post("/mail/letters/<letter_id>/link", calls=service.open_link, raises=(NotFound, Conflict))
def open_link(letter_id: str) -> LinkOut:
    """The link in a letter that was not sent, to hand it over another way; this is written into the audit."""
    return {"link": service.open_link(actor(), letter_id, port(Settings).page_url)}


@bp.post("/mail/test", calls=service.send_test, status=201)
def send_test() -> LetterOut:
    """Send a test mail to yourself."""
    return service.send_test(actor())
