"""The worker's door to mail: a letter that was written is sent, or kept when there is no mail server."""

from __future__ import annotations

import logging

from flask import current_app

from devflow.core import jobs
from devflow.core.errors import Invalid, Unavailable
from devflow.core.events import on
from devflow.core.jobs import Job, Jobs
from devflow.core.settings import Settings
from devflow.core.use_case import forget_session
from devflow.features.mail import service
from devflow.features.mail.events import LetterWritten
from devflow.features.mail.models import Letter
from devflow.ports.mail import Mail, Message
from devflow.web.ports import port

log = logging.getLogger(__name__)
SEND = "mail.send"
ATTEMPTS = 12
"""With growing pauses of an hour at most: as long as a mail server may be away on a bad morning (6.4 h)."""


@on(LetterWritten)
def written(fact: LetterWritten) -> None:
    port(Jobs).submit(SEND, fact.letter_id, once=f"{SEND}:{fact.letter_id}:{fact.turn}")


def _lost(job: Job) -> None:
    service.give_up(job.subject, "The workers that had it died again and again.")


@jobs.handles(SEND, given_up=_lost, attempts=ATTEMPTS)
def deliver(job: Job) -> None:
    letter = service.waiting(job.subject)
    if letter is None:
        return
    settings = port(Settings)
    try:
        if not settings.smtp_host:
            _keep(letter, settings)
            return
        message = rendered(letter, settings)
        forget_session()
        port(Mail).send(message)
    except Unavailable as error:
        last = job.attempt >= ATTEMPTS
        (service.give_up if last else service.postpone)(job.subject, error.message)
        raise
    except Invalid as error:
        service.give_up(job.subject, error.message)
        raise
    except Exception as error:
        service.give_up(job.subject, f"It could not be written: {error}")
        raise
    service.mark_sent(job.subject)


def _keep(letter: Letter, settings: Settings) -> None:
    link = service.contents(letter, settings.page_url).link
    log.warning(
        "No mail server is set (SMTP_HOST), so this is for you to pass on. To %s: %s%s",
        letter.to, letter.subject, f" {link}" if link else "",
    )  # fmt: skip
    service.keep(letter.id)


def rendered(letter: Letter, settings: Settings) -> Message:
    """The letter as it is sent. Raises DomainError when what it says cannot be read."""
    inside = service.contents(letter, settings.page_url)
    said = {
        **inside.context, "link": inside.link, "subject": letter.subject, "to": letter.to,
        "instance": settings.public_url, "expires_at": letter.expires_at,
    }  # fmt: skip
    text, html = (
        current_app.jinja_env.get_template(f"mail/{letter.template}.{form}").render(said) for form in ("txt", "html")
    )
    return Message(letter.id, letter.to, letter.subject, text.strip() + "\n", html)
